-- name: delete_chat
-- Deletes the chat $1, which the transaction has locked with its polls, and with it its refs, their
-- polls and its shares, of which there are few; and records the event, with what policies read of the
-- chat, so that those who could read it hear of it.
WITH former AS (
    SELECT
        c.id,
        jsonb_build_object(
            'owner_id', c.owner_id,
            'organization_id', c.organization_id,
            'workspace_id', c.workspace_id,
            'title', c.title,
            'status', c.status,
            'labels', c.labels,
            'archived', c.archived,
            'shares', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'kind', a.subject_kind,
                    'id', a.subject_id,
                    'level', a.level
                )), '[]')
                FROM chat_acl a
                WHERE a.chat_id = c.id
            )
        ) AS facts
    FROM chats c
    WHERE c.id = $1
),
event AS (
    INSERT INTO change_events (chat_id, kind, former)
    SELECT f.id, 'deleted', f.facts
    FROM former f
)
DELETE FROM chats
WHERE chats.id = $1
