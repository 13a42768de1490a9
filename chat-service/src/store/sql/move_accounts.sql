-- name: move_accounts
-- Has the accounts that spend the budget $1 spend the budget $2. The caller has locked all of them.
UPDATE git_accounts
SET budget_id = $2
WHERE budget_id = $1
