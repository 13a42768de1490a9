-- name: read_leased_credential
-- The sealed access tokens for what the request $1 has leased: of each ref's owner, at that ref's
-- provider, in the leased budget. No other credential can be read with it, and none that the host
-- rejected, or that it is not to be asked about yet. `suspect`: it was refused once.
SELECT
    a.id, a.user_id, a.provider_id, a.key_id, a.access_token_sealed,
    a.credential_state = 'suspect' AS suspect
FROM git_accounts a
WHERE (a.credential_state = 'rejected' OR a.confirm_after > now()) IS NOT TRUE
    AND EXISTS (
    SELECT
    FROM git_budgets b
    JOIN chat_diff_statuses s ON s.lease_token = b.lease_token AND s.budget_id = b.id
    WHERE b.lease_request_id = $1
        AND b.lease_expires_at > now()
        AND b.id = a.budget_id
        AND s.owner_id = a.user_id
        AND s.provider_id = a.provider_id
)
