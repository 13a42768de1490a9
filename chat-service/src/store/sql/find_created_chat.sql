-- name: find_created_chat
-- The chat that the owner $1 made with the request id $2.
SELECT c.id
FROM chats c
WHERE c.owner_id = $1
    AND c.create_request_id = $2
