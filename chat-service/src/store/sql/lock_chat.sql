-- name: lock_chat
-- Locks the chat $1 until the transaction ends. A writer of a chat, its shares or its refs does
-- this first, in a statement of its own: the next statement then sees everything that was committed
-- before.
SELECT c.id
FROM chats c
WHERE c.id = $1
FOR NO KEY UPDATE
