-- name: list_live_leases
-- The first $1 live leases by when they expire, and how many refs each still holds. A lease has the id of its
-- request, by which there is an index of leased budgets alone.
SELECT
    b.lease_worker,
    b.budget_key,
    extract(epoch FROM b.lease_expires_at - now())::double precision AS expires_seconds,
    (
        SELECT count(*)
        FROM chat_diff_statuses s
        WHERE s.lease_token = b.lease_token
    ) AS refs
FROM git_budgets b
WHERE b.lease_request_id IS NOT NULL
    AND b.lease_expires_at > now()
ORDER BY b.lease_expires_at, b.id
LIMIT $1
