-- name: lock_lease
-- Locks the budget of the live lease $1 until the transaction ends: nobody can take the lease away
-- before the outcomes are written. Returns it, and when the lease began. No row: it is lost, and nothing
-- may be written.
SELECT b.id, b.leased_at
FROM git_budgets b
WHERE b.lease_token = $1
    AND b.lease_expires_at > clock_timestamp()
FOR UPDATE
