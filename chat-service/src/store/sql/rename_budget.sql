-- name: rename_budget
-- Gives the budget $1, the key of a token until now, the key $2 of its account.
UPDATE git_budgets
SET budget_key = $2
WHERE id = $1
