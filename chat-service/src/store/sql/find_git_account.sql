-- name: find_git_account
-- The account of the user $1 at the provider $2.
SELECT a.id
FROM git_accounts a
WHERE a.user_id = $1
    AND a.provider_id = $2
