-- name: upsert_git_credential
-- Writes the tokens of the account $1, which the caller has locked: the key $2 that sealed them,
-- the access token $3, the refresh token $4, and when the access token expires, $5. Returns when
-- that was.
INSERT INTO git_credentials AS c (
    account_id, key_id, access_token_sealed, refresh_token_sealed, expires_at
)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT ON CONSTRAINT git_credentials_pkey DO UPDATE
SET key_id = excluded.key_id,
    access_token_sealed = excluded.access_token_sealed,
    refresh_token_sealed = excluded.refresh_token_sealed,
    expires_at = excluded.expires_at,
    linked_at = now()
RETURNING c.linked_at
