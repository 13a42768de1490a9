-- name: lock_leased_budget
-- Locks the budget with the key $1, if it is leased, and returns it with its holder; also where the
-- lease has expired and was not taken over.
SELECT b.id, b.lease_worker
FROM git_budgets b
WHERE b.budget_key = $1
    AND b.lease_token IS NOT NULL
FOR NO KEY UPDATE
