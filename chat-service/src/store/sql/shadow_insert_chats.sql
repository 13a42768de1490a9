-- name: shadow_insert_chats
-- Fills the session's own table with the chats $1, as JSON.
INSERT INTO chats (
    id,
    owner_id,
    organization_id,
    workspace_id,
    title,
    status,
    labels,
    archived,
    created_at,
    updated_at
)
SELECT
    x.id,
    x.owner_id,
    x.organization_id,
    x.workspace_id,
    x.title,
    x.status,
    x.labels,
    x.archived,
    now(),
    now()
FROM jsonb_to_recordset($1::jsonb) AS x (
    id uuid,
    owner_id uuid,
    organization_id uuid,
    workspace_id uuid,
    title text,
    status text,
    labels jsonb,
    archived boolean
)
