-- name: authorize_chat
-- Whether the caller may do it to the chat $1, which the transaction has locked if so, and whose it
-- is; with when it was updated last. No row: the chat does not exist for the caller.
SELECT
    (/* allowed */ TRUE) AS allowed,
    c.owner_id,
    c.updated_at
FROM chats c
WHERE c.id = $1
    AND (/* readable */ TRUE)
