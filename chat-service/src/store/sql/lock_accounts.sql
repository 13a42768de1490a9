-- name: lock_accounts
-- Locks the accounts $1 in the order of their ids and returns them with their budgets. A
-- transaction that makes a ref of theirs due holds this lock until it commits.
SELECT a.id, a.budget_id
FROM git_accounts a
WHERE a.id = ANY($1::uuid[])
ORDER BY a.id
FOR NO KEY UPDATE
