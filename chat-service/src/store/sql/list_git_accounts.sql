-- name: list_git_accounts
-- The first $2 linked accounts of the user $1, by provider, which is unique for a user.
SELECT a.id, a.user_id, a.provider_id, c.linked_at, c.expires_at, a.credential_state,
    a.retry_at
FROM git_accounts a
JOIN git_credentials c ON c.account_id = a.id
WHERE a.user_id = $1
ORDER BY a.provider_id
LIMIT $2
