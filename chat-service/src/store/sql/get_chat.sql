-- name: get_chat
-- The chat $1, if the caller may read it.
SELECT
    c.id,
    c.owner_id,
    c.organization_id,
    c.workspace_id,
    c.title,
    c.status,
    c.labels,
    c.archived,
    c.created_at,
    c.updated_at
FROM chats c
WHERE c.id = $1
    AND (/* readable */ TRUE)
