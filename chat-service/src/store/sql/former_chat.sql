-- name: former_chat
-- What policies read of the chat $1, which the transaction has locked: for the event of a change
-- that follows. Also a part of update_chat, where it is what the chat was before the statement.
SELECT jsonb_build_object(
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
