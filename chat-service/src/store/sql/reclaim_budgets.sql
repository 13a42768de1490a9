-- name: reclaim_budgets
-- Records that the budgets $1, which the request $3 still leases, hand out $2 (one for each) refs
-- again: refs reported since are among them.
UPDATE git_budgets b
SET leased_at = clock_timestamp(),
    leased_refs = c.refs
FROM unnest($1::uuid[], $2::integer[]) AS c (id, refs)
WHERE b.id = c.id
    AND b.lease_request_id = $3
