-- name: list_live_leases
-- The first $1 live leases by when they expire, and how many refs each handed out that had no
-- outcome yet. The index of tokens has leased budgets alone.
SELECT
    b.lease_worker,
    b.budget_key,
    extract(epoch FROM b.lease_expires_at - now())::double precision AS expires_seconds,
    b.leased_refs::bigint AS refs
FROM git_budgets b
WHERE b.lease_token IS NOT NULL
    AND b.lease_expires_at > now()
ORDER BY b.lease_expires_at, b.id
LIMIT $1
