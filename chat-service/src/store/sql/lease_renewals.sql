-- name: lease_renewals
-- Leases the renewal of the tokens of at most $2 accounts whose time has come to this process, for
-- $1 seconds. Those of accounts at other providers than $3, and of accounts that plan nothing soon,
-- are not renewed now: a claim has them renewed when they are needed, and a month before the
-- refresh token dies it is their time again. No row without a lease is to be renewed; it is
-- returned so that the caller knows whether there may be more. Skips what another process leases at
-- the moment.
WITH come AS MATERIALIZED (
    SELECT
        c.account_id,
        a.provider_id,
        a.generation,
        (a.renewal_problem = 'credential_suspect') IS TRUE AS refused_before,
        (
            a.provider_id = ANY($3::text[])
            AND (
                a.held_until IS NOT NULL
                OR a.retry_at IS NOT NULL
                OR a.next_due_at <= now() + interval '30 minutes'
                OR c.refresh_expires_at <= now() + interval '30 days'
            )
        ) IS TRUE AS needed
    FROM git_credentials c
    JOIN git_accounts a ON a.id = c.account_id
    WHERE c.renew_at <= now()
    ORDER BY c.renew_at
    LIMIT $2
    FOR NO KEY UPDATE OF c SKIP LOCKED
)
UPDATE git_credentials c
SET renewal_lease = CASE WHEN n.needed THEN gen_random_uuid() END,
    renewal_failures = CASE WHEN n.needed THEN c.renewal_failures ELSE 0 END,
    renew_at = CASE
        WHEN n.needed THEN now() + make_interval(secs => $1::double precision)
        ELSE greatest(c.refresh_expires_at - interval '30 days', now() + interval '1 day')
    END
FROM come n
WHERE c.account_id = n.account_id
RETURNING
    c.account_id,
    c.renewal_lease,
    n.provider_id,
    n.generation,
    n.refused_before,
    c.key_id,
    c.refresh_token_sealed,
    c.renewal_failures
