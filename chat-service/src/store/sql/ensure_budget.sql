-- name: ensure_budget
-- Makes the budget of the key $2 at the provider $3, with the id $1, unless there is one. Locks no
-- row that is there: budgets are locked by id, in lock_budgets.
INSERT INTO git_budgets (id, budget_key, provider_id)
VALUES ($1, $2, $3)
ON CONFLICT (budget_key) DO NOTHING
