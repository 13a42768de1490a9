-- name: upsert_git_account
-- Writes the account $1 of the user $2 at the provider $3: its budget $4, the key $5 that sealed the
-- tokens $6 and (or NULL) $7, and when the access token expires, $8. The caller has locked the
-- account (lock_git_account) and gives the id that is there, if any: tokens are sealed for it.
INSERT INTO git_accounts (
    id, user_id, provider_id, budget_id, key_id, access_token_sealed, refresh_token_sealed, expires_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (user_id, provider_id) DO UPDATE
SET budget_id = excluded.budget_id,
    key_id = excluded.key_id,
    access_token_sealed = excluded.access_token_sealed,
    refresh_token_sealed = excluded.refresh_token_sealed,
    expires_at = excluded.expires_at,
    linked_at = now(),
    refresh_failure = NULL,
    -- What the host thought of the former token is not this one's.
    credential_state = 'accepted',
    confirm_after = NULL
RETURNING id, user_id, provider_id, linked_at, expires_at
