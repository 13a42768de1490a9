-- name: list_sealing_keys
-- Which key seals each of the first $2 credentials of accounts after $1, by account.
SELECT c.account_id, c.key_id
FROM git_credentials c
WHERE c.account_id > $1
ORDER BY c.account_id
LIMIT $2
