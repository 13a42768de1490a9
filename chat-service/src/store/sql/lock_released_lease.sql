-- name: lock_released_lease
-- Locks the budget of the lease $1, which is given back, whether or not it expired meanwhile. No
-- row: the lease was taken over or given back before.
SELECT b.id
FROM git_budgets b
WHERE b.lease_token = $1
FOR NO KEY UPDATE
