-- name: ensure_git_account
-- Makes the account $1 of the user $2 at the provider $3, without a credential, unless the user has
-- one there. Waits for a transaction that makes the same, and locks no row that exists.
INSERT INTO git_accounts (id, user_id, provider_id)
VALUES ($1, $2, $3)
ON CONFLICT ON CONSTRAINT git_accounts_user_id_provider_id_key DO NOTHING
