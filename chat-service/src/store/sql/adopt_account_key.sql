-- name: adopt_account_key
-- Gives the budget $1 the key $2 of its account: it is a token's key whose account is known, no lease
-- holds it, and there is no budget of that key yet. Refs and accounts stay with it, so nothing else
-- need be locked.
UPDATE git_budgets b
SET budget_key = $2
WHERE b.id = $1
    AND b.budget_key LIKE '%|token:%'
    AND b.account_id IS NOT NULL
    AND (b.lease_expires_at > now()) IS NOT TRUE
    AND NOT EXISTS (SELECT FROM git_budgets a WHERE a.budget_key = $2)
RETURNING b.id
