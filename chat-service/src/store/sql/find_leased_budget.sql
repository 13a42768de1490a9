-- name: find_leased_budget
-- One of the budgets $1 that is leased.
SELECT b.id
FROM git_budgets b
WHERE b.id = ANY($1::uuid[])
    AND b.lease_expires_at > now()
LIMIT 1
