-- name: find_budget
-- The budget of the key $1.
SELECT b.id
FROM git_budgets b
WHERE b.budget_key = $1
