-- name: claim_budgets
-- Leases the budgets $1, which the caller has locked, with $2 (one for each) refs handed out, to
-- the worker $4 for $5 seconds, as the request $3.
--
-- The place in the queue moves to when the lease expires, so that a lost lease does not come back
-- first; losses in a row back it off further, from 15 s to ten minutes. When it begins is read from
-- the clock that runs on, so that a report that waited for this row's lock counts as one that came
-- after.
UPDATE git_budgets b
SET lease_token = gen_random_uuid(),
    lease_expires_at = now() + make_interval(secs => $5::double precision),
    lease_worker = $4,
    lease_request_id = $3,
    leased_at = clock_timestamp(),
    leased_refs = c.refs,
    lost_leases = l.losses,
    interactive_since = NULL,
    queue_at = now() + make_interval(
        secs => $5::double precision
            + CASE WHEN l.losses > 0 THEN least(15 * 2.0 ^ least(l.losses - 1, 10), 600) ELSE 0 END
    )
FROM unnest($1::uuid[], $2::integer[]) AS c (id, refs)
JOIN LATERAL (
    SELECT k.lost_leases + (k.lease_token IS NOT NULL)::integer AS losses
    FROM git_budgets k
    WHERE k.id = c.id
) AS l ON TRUE
WHERE b.id = c.id
