-- name: authorize_chat
-- Whether the caller is allowed to write to the chat $1, which lock_chat has locked if so; with the
-- chat's owner and the time of its last update. No row: the chat does not exist for the caller.
SELECT
    (/* allowed */ TRUE) AS allowed,
    c.owner_id,
    c.updated_at
FROM chats c
WHERE c.id = $1
    AND (/* readable */ TRUE)
