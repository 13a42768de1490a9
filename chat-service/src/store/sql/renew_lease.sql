-- name: renew_lease
-- Extends the lease $1 to $2 seconds from now. No row: it is lost.
UPDATE git_budgets
SET lease_expires_at = clock_timestamp() + make_interval(secs => $2::double precision)
WHERE lease_token = $1
    AND lease_expires_at > clock_timestamp()
RETURNING id
