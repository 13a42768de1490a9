-- name: lock_chat_refs
-- Locks the refs of the chats $1, which the caller has locked, in the order of their ids.
SELECT s.id
FROM chat_diff_statuses s
WHERE s.chat_id = ANY($1::uuid[])
ORDER BY s.id
FOR UPDATE
