-- name: name_budget
-- Names the budget $1, which was a token's, by the account $2 that the host reported. The caller
-- has locked it, and found no other budget of that account.
UPDATE git_budgets b
SET budget_key = split_part(b.budget_key, '|token:', 1) || '|account:' || $2::text,
    account_id = $2
WHERE b.id = $1
    AND b.budget_key LIKE '%|token:%'
