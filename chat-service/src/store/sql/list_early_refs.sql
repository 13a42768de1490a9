-- name: list_early_refs
-- Refs of the budgets $1 that are due soon enough to be looked up along with those that are due
-- now, those that are due first, at most $2 (one for each) of a budget, none from the lane $3 on,
-- and at most $4 of all. Looks at no more than that many accounts, and refs, of each lane.
SELECT b.id AS budget_id, early.account_id, early.ref_id
FROM unnest($1::uuid[], $2::bigint[], $3::smallint[]) AS b (id, room, withheld_from)
CROSS JOIN LATERAL (
    SELECT p.account_id, p.ref_id
    FROM generate_series(1, 4) AS account_lanes (lane)
    CROSS JOIN LATERAL (
        SELECT k.id
        FROM git_accounts k
        WHERE k.budget_id = b.id
            AND k.lane = account_lanes.lane
            AND k.next_due_at IS NOT NULL
            AND (k.retry_at > now() OR k.usable_until <= now()) IS NOT TRUE
        ORDER BY k.next_due_at
        LIMIT b.room
    ) AS a
    CROSS JOIN generate_series(1, 4) AS ref_lanes (lane)
    CROSS JOIN LATERAL (
        SELECT r.account_id, r.ref_id, r.due_at, r.early_at
        FROM git_ref_polls r
        WHERE r.account_id = a.id
            AND r.lane = ref_lanes.lane
            AND r.lane < b.withheld_from
            AND r.due_at > now()
        ORDER BY r.due_at
        LIMIT b.room
    ) AS p
    WHERE p.early_at <= now()
    ORDER BY p.due_at
    LIMIT b.room
) AS early
LIMIT $4
