-- name: delete_git_credential
-- Forgets the tokens of the account $1, which the caller has locked.
DELETE FROM git_credentials
WHERE account_id = $1
