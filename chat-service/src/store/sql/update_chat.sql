-- name: update_chat
-- Changes the chat $1, which the transaction has locked, and what its shares carry of it, and
-- records the event; all of it only if something visible changes, the chat was last updated at $6
-- (microseconds since 1970; NULL: whenever), and it ends up with at most $9 labels. No row: the
-- chat does not exist for the caller. $2 title, $3 status, $4 all labels, $5 archived; NULL leaves
-- it. $7 labels that go, by key, and $8 labels that are set. Where the change may take the right to
-- read the chat, former_chat stands in.
WITH target AS (
    SELECT
        c.id,
        (/* allowed */ TRUE) AS allowed,
        ((extract(epoch FROM c.updated_at) * 1000000)::bigint <> $6::bigint) IS NOT TRUE AS current,
        (SELECT count(*) <= $9::integer FROM jsonb_object_keys(l.labels)) AS fits,
        l.labels,
        c.title IS DISTINCT FROM COALESCE($2::text, c.title) AS title_changes,
        c.status IS DISTINCT FROM COALESCE($3::text, c.status) AS status_changes,
        c.labels IS DISTINCT FROM l.labels AS labels_change,
        c.archived IS DISTINCT FROM COALESCE($5::boolean, c.archived) AS archived_changes
    FROM chats c
    CROSS JOIN LATERAL (
        SELECT (COALESCE($4::jsonb, c.labels) - $7::text[]) || $8::jsonb AS labels
    ) AS l
    WHERE c.id = $1
        AND (/* readable */ TRUE)
),
updated AS (
    UPDATE chats
    SET
        title = COALESCE($2::text, chats.title),
        status = COALESCE($3::text, chats.status),
        labels = t.labels,
        archived = COALESCE($5::boolean, chats.archived),
        -- Strictly later, whatever the clock does: a page token that names the old place stays
        -- good.
        updated_at = greatest(now(), chats.updated_at + interval '1 microsecond')
    FROM target t
    WHERE chats.id = t.id
        AND t.allowed
        AND t.current
        AND t.fits
        AND (t.title_changes OR t.status_changes OR t.labels_change OR t.archived_changes)
    RETURNING chats.id, chats.updated_at, chats.archived, chats.list_status, chats.list_pr,
        chats.primary_attention
),
shares AS (
    UPDATE chat_acl a
    SET chat_updated_at = u.updated_at,
        chat_archived = u.archived,
        chat_status = u.list_status,
        chat_pr = u.list_pr,
        chat_attention = u.primary_attention
    FROM updated u
    WHERE a.chat_id = u.id
),
event AS (
    INSERT INTO change_events (chat_id, kind, former)
    SELECT
        u.id,
        CASE
            WHEN t.archived_changes THEN 'archived'
            WHEN t.status_changes THEN 'status_changed'
            ELSE 'updated'
        END,
        (/* former */ NULL::jsonb)
    FROM updated u
    JOIN target t ON t.id = u.id
)
SELECT
    t.allowed,
    t.current,
    t.fits,
    t.archived_changes
FROM target t
