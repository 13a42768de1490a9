-- name: lock_free_polls
-- Locks those of the refs $1 that no other transaction is writing, in the order of their ids.
SELECT p.ref_id, p.account_id
FROM git_ref_polls p
WHERE p.ref_id = ANY($1::uuid[])
ORDER BY p.ref_id
FOR NO KEY UPDATE SKIP LOCKED
