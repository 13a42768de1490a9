-- name: count_due_refs
-- Of each lane, how many refs are due of accounts with a usable credential, how many of them have
-- been for more than a minute and could be leased now, both counted up to $1, and for how many
-- seconds the oldest due one has been. What a pause, a rest or a lease keeps is not overdue. Found
-- as a claim finds them, by queue, accounts and polls, of the first $2 budgets of each lane of the
-- queue and as many accounts. No row for a lane of which nothing is due.
WITH account AS MATERIALIZED (
    SELECT a.id, q.kept_from
    FROM generate_series(1, 4) AS budget_lanes (lane)
    CROSS JOIN LATERAL (
        SELECT
            b.id,
            CASE
                WHEN b.queue_at <= now() AND (b.lease_expires_at > now()) IS NOT TRUE
                    THEN least(
                        CASE WHEN b.paused_until > now() THEN b.pause_lane END,
                        CASE WHEN b.rests_until > now() THEN b.rest_lane END,
                        5
                    )
                ELSE 1
            END AS kept_from
        FROM git_budgets b
        WHERE b.lane = budget_lanes.lane
            AND b.queue_at IS NOT NULL
        ORDER BY b.queue_at
        LIMIT $2
    ) AS q
    CROSS JOIN generate_series(1, 4) AS account_lanes (lane)
    CROSS JOIN LATERAL (
        SELECT k.id
        FROM git_accounts k
        WHERE k.budget_id = q.id
            AND k.lane = account_lanes.lane
            AND k.next_due_at <= now()
        ORDER BY k.next_due_at
        LIMIT $2
    ) AS a
    LIMIT 4 * $2::bigint
)
SELECT
    lanes.lane::smallint AS lane,
    count(*) AS due,
    count(*) FILTER (
        WHERE due.due_at < now() - interval '1 minute'
            AND due.kept_from > lanes.lane
    ) AS overdue,
    extract(epoch FROM now() - min(due.due_at))::double precision AS oldest_seconds
FROM generate_series(1, 4) AS lanes (lane)
CROSS JOIN LATERAL (
    SELECT p.due_at, a.kept_from
    FROM account a
    CROSS JOIN LATERAL (
        SELECT r.due_at
        FROM git_ref_polls r
        WHERE r.account_id = a.id
            AND r.lane = lanes.lane
            AND r.due_at <= now()
        ORDER BY r.due_at
        LIMIT $1
    ) AS p
    LIMIT $1
) AS due
GROUP BY lanes.lane
ORDER BY lanes.lane
