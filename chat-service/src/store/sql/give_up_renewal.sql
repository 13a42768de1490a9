-- name: give_up_renewal
-- Records that the host will not renew the tokens of the account $1, which the caller has locked
-- under the lease $2: they are neither used nor renewed until others are linked. The tokens stay,
-- for a late result. No row: the lease is lost, or the tokens were replaced.
WITH failed AS (
    UPDATE git_credentials c
    SET renew_at = NULL,
        renewal_lease = NULL
    WHERE c.account_id = $1
        AND c.renewal_lease = $2
    RETURNING c.account_id
)
UPDATE git_accounts a
SET credential_state = 'rejected',
    refusals = 0,
    retry_at = NULL,
    usable_until = NULL,
    held_until = NULL,
    renewal_problem = NULL,
    unannounced = a.unannounced OR a.credential_state <> 'rejected'
FROM failed f
WHERE a.id = f.account_id
RETURNING a.id
