-- name: find_next_budget
-- The budget that can be leased next, and in how many seconds; less than 0: it can be now. No row:
-- none is planned. One index entry for each lane.
SELECT q.id, extract(epoch FROM q.queue_at - clock_timestamp())::double precision AS seconds
FROM generate_series(1, 4) AS lanes (lane)
CROSS JOIN LATERAL (
    SELECT b.id, b.queue_at
    FROM git_budgets b
    WHERE b.lane = lanes.lane
        AND b.queue_at IS NOT NULL
    ORDER BY b.queue_at
    LIMIT 1
) AS q
ORDER BY q.queue_at
LIMIT 1
