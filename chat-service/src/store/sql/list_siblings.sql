-- name: list_siblings
-- What would be looked up in vain beside the refs $1, which failed with a problem of their whole
-- repository: the refs of the same account in the same repository that are due before those are
-- again, and were neither reported nor read since $2, when the lease began. At most $3 of a
-- repository, of the refs of the account that are due first, of which twice as many of each lane
-- are looked at: they would be leased next.
SELECT s.id
FROM (
    SELECT DISTINCT ON (r.account_id, r.repository_key) r.account_id, r.repository_key, p.due_at
    FROM git_refs r
    JOIN git_ref_polls p ON p.ref_id = r.id
    WHERE r.id = ANY($1::uuid[])
        AND r.problem_class IS NOT NULL
        AND p.due_at IS NOT NULL
    ORDER BY r.account_id, r.repository_key, p.due_at DESC
) AS f
CROSS JOIN LATERAL (
    SELECT o.id
    FROM generate_series(1, 4) AS lanes (lane)
    CROSS JOIN LATERAL (
        SELECT p.ref_id, p.refreshed_at
        FROM git_ref_polls p
        WHERE p.account_id = f.account_id
            AND p.lane = lanes.lane
            AND p.due_at < f.due_at
        ORDER BY p.due_at
        LIMIT 2 * $3::bigint
    ) AS first
    JOIN git_refs o ON o.id = first.ref_id
    WHERE o.repository_key = f.repository_key
        AND o.reported_at < $2
        AND (first.refreshed_at >= $2) IS NOT TRUE
        AND o.id <> ALL($1::uuid[])
    LIMIT $3
) AS s
