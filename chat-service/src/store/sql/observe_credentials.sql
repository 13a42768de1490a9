-- name: observe_credentials
-- Notes what the host said of the credentials $2 (a JSON array) of accounts that spend the budget
-- of the lease $1: whether it refused it, and when it expires. The caller has locked the accounts,
-- and proves the lease afterwards. An observation of a token that was replaced since teaches
-- nothing. Returns the accounts that were refused, or whose state changed.
--
-- Hosts refuse good tokens, too, for minutes. So a refusal is confirmed after a minute, ten minutes
-- and an hour, a little later each so that accounts come back one after the other; then, or if the
-- token is known to have expired once that is confirmed, since what is known may be wrong, the
-- credential is rejected, and tried once a day. One that can be renewed is renewed at once. A
-- refusal counts once a lease: the lease of another one began when the retry was due.
WITH observed AS MATERIALIZED (
    SELECT
        a.id,
        a.credential_state AS former,
        o.refused,
        o.expires_at,
        CASE
            WHEN NOT o.refused THEN 'accepted'
            WHEN a.refusals >= 3 THEN 'rejected'
            WHEN a.refusals >= 1 AND c.expires_at <= now() THEN 'rejected'
            ELSE 'suspect'
        END AS state
    FROM jsonb_to_recordset($2::jsonb) AS o (
        id uuid, generation bigint, refused boolean, expires_at timestamptz
    )
    JOIN git_accounts a ON a.id = o.id AND a.generation = o.generation
    JOIN git_credentials c ON c.account_id = a.id
    JOIN git_budgets b ON b.id = a.budget_id
    WHERE b.lease_token = $1
        AND (o.refused AND a.retry_at > b.leased_at) IS NOT TRUE
        AND (a.credential_state = 'rejected' AND a.retry_at IS NULL) IS NOT TRUE
), kept AS (
    UPDATE git_credentials c
    SET expires_at = coalesce(o.expires_at, c.expires_at),
        renew_at = CASE
            WHEN c.renewal_lease IS NOT NULL OR c.renewal_failures > 0 THEN c.renew_at
            WHEN c.renew_at IS NOT NULL THEN least(
                c.renew_at,
                o.expires_at - interval '15 minutes',
                CASE WHEN o.refused THEN now() END
            )
        END
    FROM observed o
    WHERE c.account_id = o.id
        AND (o.refused OR c.expires_at IS DISTINCT FROM coalesce(o.expires_at, c.expires_at))
)
UPDATE git_accounts a
SET credential_state = o.state,
    refusals = CASE WHEN o.refused THEN least(a.refusals + 1, 4) ELSE 0 END,
    retry_at = now() + (1 + random() / 10) * CASE
        WHEN o.state = 'rejected' THEN interval '1 day'
        WHEN o.refused
            THEN (ARRAY['1 minute', '10 minutes', '1 hour']::interval[])[a.refusals + 1]
    END,
    unannounced = a.unannounced OR o.former <> o.state
FROM observed o
WHERE a.id = o.id
    AND (o.refused OR a.refusals > 0)
RETURNING a.id, o.refused, a.credential_state, o.former <> o.state AS changed
