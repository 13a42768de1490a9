-- name: list_git_accounts_after
-- The first $3 accounts of the user $1 whose provider comes after $2, by provider, which is unique
-- for a user.
SELECT a.id, a.user_id, a.provider_id, a.linked_at, a.expires_at
FROM git_accounts a
WHERE a.user_id = $1
    AND a.provider_id > $2
ORDER BY a.provider_id
LIMIT $3
