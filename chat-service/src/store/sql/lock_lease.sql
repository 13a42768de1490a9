-- name: lock_lease
-- Proves the lease $1 and locks its budget until the transaction ends: it cannot be taken away
-- before what it reports is committed. Returns the budget, when the lease began, and whether a
-- person has come to wait for one of its refs since. No row: the lease is lost, and all is to be
-- rolled back. With $2 also one that expired, to be given back.
SELECT
    b.id,
    b.leased_at,
    b.interactive_since IS NOT NULL AS awaited
FROM git_budgets b
WHERE b.lease_token = $1
    AND (b.lease_expires_at > clock_timestamp() OR $2::boolean)
FOR NO KEY UPDATE
