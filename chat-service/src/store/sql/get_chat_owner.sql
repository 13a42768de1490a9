-- name: get_chat_owner
-- Whose the chat $1 is, which the caller was shown to read.
SELECT c.owner_id
FROM chats c
WHERE c.id = $1
