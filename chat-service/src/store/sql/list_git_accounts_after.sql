-- name: list_git_accounts_after
-- The first $3 linked accounts of the user $1 whose provider comes after $2, by provider, which is
-- unique for a user.
SELECT a.id, a.user_id, a.provider_id, c.linked_at, c.expires_at, a.credential_state,
    a.retry_at
FROM git_accounts a
JOIN git_credentials c ON c.account_id = a.id
WHERE a.user_id = $1
    AND a.provider_id > $2
ORDER BY a.provider_id
LIMIT $3
