-- name: settle_budgets
-- Sets when the budgets $1 are due, in which queue of keys, and whether somebody waits for one that is
-- due. With $2, also ends their leases. The caller has locked their rows, in an earlier statement, so
-- that this one sees every ref that somebody made due before: whoever does locks the budget's row, too.
--
-- A key whose turn is over goes to the tail of its queue, however long its next ref has been due: that
-- is what lets others in between. One whose turn was cut short (turn_left) keeps its place, and so
-- does one that is settled for another reason. Its queue is that of the most urgent ref that is due
-- when the first is, or right after that.
--
-- It also computes, once a minute, what the refs ask for at their base intervals, from the first 5,000:
-- a key that has more is over its means anyway.
UPDATE git_budgets b
SET next_due_at = CASE
        WHEN p.next_due_at IS NULL THEN NULL
        WHEN $2::boolean AND b.turn_left = 0 THEN greatest(p.next_due_at, now())
        WHEN b.next_due_at <= now() THEN greatest(p.next_due_at, b.next_due_at)
        ELSE p.next_due_at
    END,
    lane = coalesce(p.lane, b.lane),
    interactive_since = CASE WHEN p.awaited THEN coalesce(b.interactive_since, now()) END,
    demand = CASE
        WHEN d.stale THEN (
            SELECT coalesce(sum(1 / planned.base_interval_seconds), 0)::double precision
            FROM (
                SELECT s.base_interval_seconds
                FROM chat_diff_statuses s
                WHERE s.budget_id = b.id
                    AND s.due_at IS NOT NULL
                LIMIT 5000
            ) AS planned
        )
        ELSE b.demand
    END,
    demand_at = CASE WHEN d.stale THEN now() ELSE b.demand_at END,
    lease_token = CASE WHEN $2::boolean THEN NULL ELSE b.lease_token END,
    lease_expires_at = CASE WHEN $2::boolean THEN NULL ELSE b.lease_expires_at END,
    lease_worker = CASE WHEN $2::boolean THEN NULL ELSE b.lease_worker END,
    lease_request_id = CASE WHEN $2::boolean THEN NULL ELSE b.lease_request_id END
FROM (
    SELECT
        k.id,
        min(f.due_at) AS next_due_at,
        bool_or(f.lane = 1 AND f.due_at <= now()) AS awaited,
        CASE
            WHEN min(f.due_at) IS NOT NULL
                THEN greatest(min(f.lane) FILTER (WHERE f.due_at <= f.horizon), 2)
        END::smallint AS lane
    FROM git_budgets k
    LEFT JOIN LATERAL (
        SELECT
            first.due_at,
            first.lane,
            greatest(min(first.due_at) OVER (), now()) + interval '5 seconds' AS horizon
        FROM generate_series(1, 4) AS lanes (lane)
        CROSS JOIN LATERAL (
            SELECT s.due_at, s.lane
            FROM chat_diff_statuses s
            WHERE s.budget_id = k.id
                AND s.lane = lanes.lane
                AND s.due_at IS NOT NULL
            ORDER BY s.due_at
            LIMIT 1
        ) AS first
    ) AS f ON TRUE
    WHERE k.id = ANY($1::uuid[])
    GROUP BY k.id
) AS p
CROSS JOIN LATERAL (
    SELECT (q.demand_at > now() - interval '1 minute') IS NOT TRUE AS stale
    FROM git_budgets q
    WHERE q.id = p.id
) AS d
WHERE b.id = p.id
