-- name: read_credentials
-- The sealed access tokens of the accounts $2, as far as they spend a budget that the request $1
-- leases. No other credential can be read with it, and none that is not to be tried yet. `suspect`:
-- the host refused it last.
SELECT
    a.id,
    a.generation,
    c.key_id,
    c.access_token_sealed,
    c.expires_at,
    a.credential_state <> 'accepted' AS suspect
FROM git_accounts a
JOIN git_budgets b ON b.id = a.budget_id
JOIN git_credentials c ON c.account_id = a.id
WHERE a.id = ANY($2::uuid[])
    AND b.lease_request_id = $1
    AND b.lease_expires_at > now()
    AND (a.retry_at > now()) IS NOT TRUE
