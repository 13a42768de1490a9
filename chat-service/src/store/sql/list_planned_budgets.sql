-- name: list_planned_budgets
-- The first $1 budgets for which something is planned, by when they can be leased, with the longer
-- one of pause and rest.
SELECT
    q.budget_key,
    q.provider_id,
    now() AS as_of,
    q.windows,
    greatest(
        q.secondary_strikes - floor(extract(epoch FROM now() - q.struck_at) / 3600),
        0
    )::integer AS strikes,
    q.budget_key NOT LIKE '%|token:%' AS account_known,
    q.lost_leases,
    p.class AS pause_class,
    p.lane AS pause_lane,
    extract(epoch FROM p.until - now())::double precision AS pause_seconds
FROM generate_series(1, 4) AS lanes (lane)
CROSS JOIN LATERAL (
    SELECT
        b.id, b.queue_at, b.budget_key, b.provider_id, b.windows, b.secondary_strikes, b.struck_at,
        b.lost_leases, b.lease_expires_at, b.paused_until, b.pause_class, b.pause_lane,
        b.rests_until, b.rest_class, b.rest_lane
    FROM git_budgets b
    WHERE b.lane = lanes.lane
        AND b.queue_at IS NOT NULL
    ORDER BY b.queue_at
    LIMIT $1
) AS q
LEFT JOIN LATERAL (
    SELECT w.class, w.lane, w.until
    FROM (
        VALUES
            (q.pause_class, q.pause_lane, q.paused_until),
            (q.rest_class, q.rest_lane, q.rests_until)
    ) AS w (class, lane, until)
    WHERE w.until > now()
    ORDER BY w.until DESC
    LIMIT 1
) AS p ON TRUE
ORDER BY q.queue_at, q.id
LIMIT $1
