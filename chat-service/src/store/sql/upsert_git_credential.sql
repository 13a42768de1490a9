-- name: upsert_git_credential
-- Writes the tokens of the account $1, which the caller has locked: the key $2 that sealed them,
-- the access token $3, the refresh token $4, and when the access token expires, $5. Returns when
-- that was.
--
-- They are renewed within the last quarter of an access token's time, some 15 to 20 minutes before
-- it expires; where that is not known, in time for the refresh token, which is taken to live for
-- half a year.
INSERT INTO git_credentials AS c (
    account_id, key_id, access_token_sealed, refresh_token_sealed, expires_at,
    refresh_expires_at, renew_at
)
SELECT
    $1::uuid, $2::text, $3::bytea, $4::bytea, $5::timestamptz,
    CASE WHEN $4::bytea IS NOT NULL THEN now() + interval '180 days' END,
    CASE
        WHEN $4::bytea IS NOT NULL THEN coalesce(
            $5::timestamptz - (1 + random() / 3)
                * least(greatest($5::timestamptz - now(), interval '0') / 4, interval '15 minutes'),
            now() + interval '150 days'
        )
    END
ON CONFLICT ON CONSTRAINT git_credentials_pkey DO UPDATE
SET key_id = excluded.key_id,
    access_token_sealed = excluded.access_token_sealed,
    refresh_token_sealed = excluded.refresh_token_sealed,
    expires_at = excluded.expires_at,
    refresh_expires_at = excluded.refresh_expires_at,
    renew_at = excluded.renew_at,
    renewal_lease = NULL,
    renewal_failures = 0,
    linked_at = now()
RETURNING c.linked_at
