-- name: count_leases
-- How many budgets are leased.
SELECT count(*) AS leases
FROM git_budgets b
WHERE b.lease_token IS NOT NULL
