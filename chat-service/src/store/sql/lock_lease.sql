-- name: lock_lease
-- Proves the lease $1 and locks its budget until the transaction ends: it cannot be lost before its
-- report is committed. Returns the budget, when the lease began, how often an operator has resumed
-- the budget, and whether a person has come to wait for one of its refs since. No row: the lease is
-- lost, and the caller must roll back. With $2 also an expired lease, to be released.
SELECT
    b.id,
    b.leased_at,
    b.resumes,
    b.interactive_since IS NOT NULL AS awaited
FROM git_budgets b
WHERE b.lease_token = $1
    AND (b.lease_expires_at > clock_timestamp() OR $2::boolean)
FOR NO KEY UPDATE
