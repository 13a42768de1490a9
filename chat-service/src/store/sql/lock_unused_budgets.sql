-- name: lock_unused_budgets
-- Locks, of the budgets $1, those that nobody else has locked: whoever gives one an account or a ref
-- locks it, and finds it gone or is seen by the next statement.
SELECT b.id
FROM git_budgets b
WHERE b.id = ANY($1::uuid[])
ORDER BY b.id
FOR UPDATE SKIP LOCKED
