-- name: list_budget_accounts
-- Whose accounts spend the budget $1, in the order in which they are locked.
SELECT a.user_id, a.provider_id
FROM git_accounts a
WHERE a.budget_id = $1
ORDER BY a.user_id, a.provider_id
