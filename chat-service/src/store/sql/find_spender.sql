-- name: find_spender
-- The budget of the lease $1, if its key is a token's and its account is not known yet, with
-- the accounts that spend it, and the budget that the host's account $2 has already; NULL if it has
-- none. No row: the account was known, or the lease is lost.
SELECT
    b.id,
    k.id AS known_id,
    ARRAY(SELECT a.id FROM git_accounts a WHERE a.budget_id = b.id) AS accounts
FROM git_budgets b
LEFT JOIN git_budgets k
    ON k.budget_key = split_part(b.budget_key, '|token:', 1) || '|account:' || $2::text
WHERE b.lease_token = $1
    AND b.account_id IS NULL
    AND b.budget_key LIKE '%|token:%'
