-- name: lock_budgets_by_id
-- Locks the budgets $1 in the order of their ids. Returns those that there are.
SELECT b.id
FROM git_budgets b
WHERE b.id = ANY($1::uuid[])
ORDER BY b.id
FOR UPDATE
