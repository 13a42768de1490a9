-- name: renew_lease
-- Extends the lease $1 to $2 seconds from now, and moves the budget's place in the queue along with
-- it. Returns whether a person has come to wait for one of its refs since it began. No row: it is
-- lost.
UPDATE git_budgets b
SET lease_expires_at = n.until,
    queue_at = n.until + (b.queue_at - b.lease_expires_at)
FROM (
    SELECT clock_timestamp() + make_interval(secs => $2::double precision) AS until
) AS n
WHERE b.lease_token = $1
    AND b.lease_expires_at > clock_timestamp()
RETURNING b.interactive_since IS NOT NULL AS awaited
