-- name: put_off_renewal
-- Records that renewing the tokens of the account $1, which the caller has locked, under the lease
-- $2 failed by the problem $4, and is retried in $3 seconds. No row: the lease is lost, or the
-- tokens were replaced.
WITH failed AS (
    UPDATE git_credentials c
    SET renew_at = now() + make_interval(secs => $3::double precision),
        renewal_lease = NULL,
        renewal_failures = least(c.renewal_failures + 1, 100)
    WHERE c.account_id = $1
        AND c.renewal_lease = $2
    RETURNING c.account_id, c.renew_at
)
UPDATE git_accounts a
SET renewal_problem = $4,
    held_until = CASE WHEN a.held_until IS NOT NULL THEN f.renew_at END
FROM failed f
WHERE a.id = f.account_id
RETURNING a.id
