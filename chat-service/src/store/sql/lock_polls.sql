-- name: lock_polls
-- Locks the refs $1 in the order of their ids. A later statement sees every report of them that was
-- committed before, and none is committed until the transaction ends.
SELECT p.ref_id, p.account_id
FROM git_ref_polls p
WHERE p.ref_id = ANY($1::uuid[])
ORDER BY p.ref_id
FOR NO KEY UPDATE
