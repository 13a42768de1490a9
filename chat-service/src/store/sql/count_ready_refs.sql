-- name: count_ready_refs
-- How many refs can be leased now and have been due for more than $1 seconds, counted up to $2, and
-- how many the live leases hold. Found as a claim finds them: of the first $3 budgets of each lane
-- of the queue that are ready and not leased, and as many accounts, without the lanes that a pause
-- or rest withholds.
WITH account AS MATERIALIZED (
    SELECT a.id, q.withheld_from
    FROM generate_series(1, 4) AS budget_lanes (lane)
    CROSS JOIN LATERAL (
        SELECT
            b.id,
            least(
                CASE WHEN b.paused_until > now() THEN b.pause_lane END,
                CASE WHEN b.rests_until > now() THEN b.rest_lane END,
                5
            )::smallint AS withheld_from
        FROM git_budgets b
        WHERE b.lane = budget_lanes.lane
            AND b.queue_at <= now()
            AND (b.lease_expires_at > now()) IS NOT TRUE
        ORDER BY b.queue_at
        LIMIT $3
    ) AS q
    CROSS JOIN generate_series(1, 4) AS account_lanes (lane)
    CROSS JOIN LATERAL (
        SELECT k.id
        FROM git_accounts k
        WHERE k.budget_id = q.id
            AND k.lane = account_lanes.lane
            AND k.next_due_at <= now()
        ORDER BY k.next_due_at
        LIMIT $3
    ) AS a
    LIMIT 4 * $3::bigint
)
SELECT
    (
        SELECT count(*)
        FROM (
            SELECT
            FROM account a
            CROSS JOIN generate_series(1, 4) AS ref_lanes (lane)
            CROSS JOIN LATERAL (
                SELECT
                FROM git_ref_polls r
                WHERE r.account_id = a.id
                    AND r.lane = ref_lanes.lane
                    AND r.lane < a.withheld_from
                    AND r.due_at < now() - make_interval(secs => $1::double precision)
                LIMIT $2
            ) AS p
            LIMIT $2
        ) AS o
    ) AS overdue,
    (
        SELECT coalesce(sum(b.leased_refs), 0)::bigint
        FROM git_budgets b
        WHERE b.lease_token IS NOT NULL
            AND b.lease_expires_at > now()
    ) AS leased
