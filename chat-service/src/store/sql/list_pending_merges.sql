-- name: list_pending_merges
-- The first $2 keys of tokens that are the same account's as the budget $1, as the host told, and are
-- still to be merged with the account's key: that one first, if it is a token's itself. Not those that are
-- leased, since each is looked at when its lease ends, nor those that had too many refs lately: others
-- have their turn.
SELECT p.id, p.provider_id, p.account_id
FROM git_budgets b
JOIN git_budgets p ON p.provider_id = b.provider_id AND p.account_id = b.account_id
WHERE b.id = $1
    AND p.budget_key LIKE '%|token:%'
    AND (p.lease_expires_at > now()) IS NOT TRUE
    AND (p.merge_after > now()) IS NOT TRUE
ORDER BY p.id <> b.id, p.id
LIMIT $2
