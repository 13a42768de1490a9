-- name: release_refs
-- Frees the refs that the lease $1 still holds. They stay due.
WITH held AS (
    SELECT s.id
    FROM chat_diff_statuses s
    WHERE s.lease_token = $1
    ORDER BY s.id
    FOR UPDATE
)
UPDATE chat_diff_statuses s
SET lease_token = NULL
FROM held h
WHERE s.id = h.id
