-- name: keep_renewed_tokens
-- Replaces the tokens of the account $1, unless they were replaced since the generation $2, by
-- renewed ones: sealed by the key $3, the access token $4, which expires in $5 seconds, and the
-- refresh token $6, which expires in $7; NULL where the host set no expiry. Records that the access
-- token, by its keyed hash $8, spends the account's budget. The credential's next generation
-- begins, so that a worker's observation of the former token does not apply to this one. Returns
-- the account if its tokens were replaced.
--
-- The lease of the renewal is not a fence here: a process whose lease ran out may hold the only
-- tokens that are good, since the host has replaced those in the row.
WITH renewed AS (
    UPDATE git_accounts a
    SET credential_state = 'accepted',
        generation = a.generation + 1,
        refusals = 0,
        retry_at = NULL,
        usable_until =
            now() + make_interval(secs => $5::double precision) - interval '1 minute',
        held_until = NULL,
        renewal_problem = NULL,
        unannounced = a.unannounced OR a.credential_state <> 'accepted'
    WHERE a.id = $1
        AND a.generation = $2
        AND a.credential_state <> 'none'
    RETURNING a.id, a.budget_id
), kept AS (
    UPDATE git_credentials c
    SET key_id = $3,
        access_token_sealed = $4,
        refresh_token_sealed = $6,
        expires_at = now() + make_interval(secs => $5::double precision),
        refresh_expires_at = now()
            + coalesce(make_interval(secs => $7::double precision), interval '180 days'),
        renew_at = now() + coalesce(
            make_interval(secs => $5::double precision - (1 + random() / 3)
                * least($5::double precision / 4, 900)),
            interval '150 days'
        ),
        renewal_lease = NULL,
        renewal_failures = 0
    FROM renewed r
    WHERE c.account_id = r.id
), noted AS (
    INSERT INTO git_tokens AS t (token_key, budget_id)
    SELECT $8::text, r.budget_id
    FROM renewed r
    ON CONFLICT ON CONSTRAINT git_tokens_pkey DO UPDATE
    SET used_at = now(),
        budget_id = excluded.budget_id
)
SELECT r.id
FROM renewed r
