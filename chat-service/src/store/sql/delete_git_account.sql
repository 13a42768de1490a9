-- name: delete_git_account
-- Forgets the account of the user $1 at the provider $2.
DELETE FROM git_accounts
WHERE user_id = $1
    AND provider_id = $2
RETURNING id
