-- name: lock_unused_budgets
-- Locks, of the budgets $1, those that no other transaction has locked. One that gives a budget an
-- account or a token locks it against being deleted, and either finds it gone or is seen by the
-- next statement.
SELECT b.id
FROM git_budgets b
WHERE b.id = ANY($1::uuid[])
ORDER BY b.id
FOR UPDATE SKIP LOCKED
