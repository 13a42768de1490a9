-- name: lock_git_account
-- Locks the account of the user $1 at the provider $2, and returns it with the budget that it
-- spends, or spent last, and whether a credential is linked, usable or not.
SELECT
    a.id,
    coalesce(a.budget_id, a.former_budget_id) AS budget_id,
    a.credential_state <> 'none' AS linked
FROM git_accounts a
WHERE a.user_id = $1
    AND a.provider_id = $2
FOR NO KEY UPDATE
