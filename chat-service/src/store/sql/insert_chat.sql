-- name: insert_chat
-- Creates a chat and its event. Returns its id, or nothing when the owner's request $8 made one
-- already: then no event is recorded either.
-- $1 id, $2 owner, $3 organization, $4 workspace, $5 title, $6 status, $7 labels, $8 request
-- id.
WITH inserted AS (
    INSERT INTO chats (
        id, owner_id, organization_id, workspace_id, title, status, labels, create_request_id
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT ON CONSTRAINT chats_owner_id_create_request_id_key DO NOTHING
    RETURNING id
),
event AS (
    INSERT INTO change_events (chat_id, kind)
    SELECT id, 'created'
    FROM inserted
)
SELECT id
FROM inserted
