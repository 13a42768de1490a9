-- name: lock_chat
-- Locks the chat $1 until the transaction ends. Whoever writes a chat or its shares does this first,
-- in a statement of its own: the next statement then sees every share that was committed before.
SELECT c.id
FROM chats c
WHERE c.id = $1
FOR UPDATE
