-- name: hold_accounts
-- Holds those of the accounts $1, which the caller has locked, whose tokens have expired: nothing
-- is leased of them before they are renewed, which is made due now, unless it is under way or waits
-- after a failure. The process that renews them may die, so they are claimed again after 30 s. One
-- at another provider than $2 cannot be renewed: the host is asked what it thinks of its token.
WITH come AS (
    UPDATE git_credentials c
    SET renew_at = CASE
            WHEN c.renewal_lease IS NULL AND c.renewal_failures = 0 THEN least(c.renew_at, now())
            ELSE c.renew_at
        END
    FROM git_accounts k
    WHERE c.account_id = ANY($1::uuid[])
        AND k.id = c.account_id
        AND k.usable_until <= now()
        AND k.provider_id = ANY($2::text[])
    RETURNING c.account_id, c.renew_at
)
UPDATE git_accounts a
SET usable_until = CASE WHEN a.provider_id = ANY($2::text[]) THEN a.usable_until END,
    held_until = (
        SELECT greatest(h.renew_at, now() + interval '30 seconds')
        FROM come h
        WHERE h.account_id = a.id
    )
WHERE a.id = ANY($1::uuid[])
    AND a.usable_until <= now()
