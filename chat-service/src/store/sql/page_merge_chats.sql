-- name: page_merge_chats
-- As page_by_chat, of many keys. The first chat of each is found first; where these are a page's
-- worth, no chat of the page comes after the last of them, so that the other keys are read no
-- further, and these no further than to there.
WITH heads AS MATERIALIZED (
    SELECT
        key.*,
        x.updated_at AS head_at,
        x.id AS head_id
    FROM /* keys */ (SELECT) AS key
    CROSS JOIN LATERAL (
        SELECT
            c.updated_at,
            c.id
        FROM chats c
        WHERE (/* under key */ TRUE)
            AND (/* owner */ TRUE)
            AND (/* filter */ TRUE)
            AND (/* after */ TRUE)
        ORDER BY c.updated_at DESC, c.id DESC
        LIMIT 1
    ) x
),
least AS MATERIALIZED (
    SELECT
        h.head_at,
        h.head_id
    FROM (
        SELECT DISTINCT
            heads.head_at,
            heads.head_id
        FROM heads
    ) h
    ORDER BY h.head_at DESC, h.head_id DESC
    OFFSET /* limit */ 1::bigint - 1
    LIMIT 1
)
SELECT
    h.head_at AS updated_at,
    h.head_id AS id
FROM heads h
UNION ALL
SELECT
    x.updated_at,
    x.id
FROM heads AS key
CROSS JOIN LATERAL (
    SELECT
        c.updated_at,
        c.id
    FROM chats c
    WHERE (/* under key */ TRUE)
        AND (/* owner */ TRUE)
        AND (/* filter */ TRUE)
        AND (c.updated_at, c.id) < (key.head_at, key.head_id)
        AND (c.updated_at, c.id) >= (
            coalesce((SELECT l.head_at FROM least l), '-infinity'),
            coalesce((SELECT l.head_id FROM least l), '00000000-0000-0000-0000-000000000000')
        )
    ORDER BY c.updated_at DESC, c.id DESC
    LIMIT /* limit */ 1
) x
WHERE (key.head_at, key.head_id) > (
    coalesce((SELECT l.head_at FROM least l), '-infinity'),
    coalesce((SELECT l.head_id FROM least l), '00000000-0000-0000-0000-000000000000')
)
