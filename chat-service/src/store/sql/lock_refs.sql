-- name: lock_refs
-- Locks the refs $1 in the order of their ids.
SELECT s.id
FROM chat_diff_statuses s
WHERE s.id = ANY($1::uuid[])
ORDER BY s.id
FOR UPDATE
