-- name: list_git_accounts
-- The first $2 accounts of the user $1, by provider, which is unique for a user.
SELECT a.id, a.user_id, a.provider_id, a.linked_at, a.expires_at
FROM git_accounts a
WHERE a.user_id = $1
ORDER BY a.provider_id
LIMIT $2
