-- name: find_budget
-- The budget of the key $1; of a token, also the one that its key has become.
SELECT b.id
FROM git_budgets b
WHERE b.id = coalesce(
    (SELECT k.id FROM git_budgets k WHERE k.budget_key = $1),
    (SELECT t.budget_id FROM git_budget_tokens t WHERE t.token_key = $1)
)
