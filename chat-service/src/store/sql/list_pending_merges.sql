-- name: list_pending_merges
-- The first $2 keys of tokens that are the same account's as the budget $1, as the host told, and are
-- still to be merged with the account's key: that one, if it is a token's itself.
SELECT p.id, p.provider_id, p.account_id
FROM git_budgets b
JOIN git_budgets p ON p.provider_id = b.provider_id AND p.account_id = b.account_id
WHERE b.id = $1
    AND p.budget_key LIKE '%|token:%'
ORDER BY p.id
LIMIT $2
