-- name: lock_ready_budgets
-- Locks the first $1 budgets that can be leased, in the order of the queue, and returns them with
-- how many of $2 refs a turn of each hands out, the lane from which on none is, and whether its
-- last lease ran out.
--
-- The order is by time: since when a budget is ready, less a head start by the lane of its most
-- urgent due ref (viewed 60 s, active 30 s). So a push passes idle backlogs, and nothing waits more
-- than 60 s longer for it. What a person waits for in RefreshChat comes first, and is at most half
-- of the budgets. Each lane is one range of the queue's index: the cost does not grow with what
-- waits. Rows that another claim holds are skipped, not waited for. A lease that was lost halves
-- the quantum, down to one, each time that happens in a row. None is locked for the request $3 if
-- it took effect before.
SELECT
    q.id, lanes.lane = 1 AS awaited,
    greatest($2::bigint >> least(q.losses, 16), 1) AS quantum,
    q.withheld_from, q.expired
FROM (VALUES (1, 0), (2, 60), (3, 30), (4, 0)) AS lanes (lane, head_start)
CROSS JOIN LATERAL (
    SELECT
        b.id,
        b.queue_at,
        b.lease_token IS NOT NULL AS expired,
        b.lost_leases + (b.lease_token IS NOT NULL)::integer AS losses,
        least(
            CASE WHEN b.paused_until > now() THEN b.pause_lane END,
            CASE WHEN b.rests_until > now() THEN b.rest_lane END,
            5
        )::smallint AS withheld_from
    FROM git_budgets b
    WHERE b.lane = lanes.lane
        AND b.queue_at <= now()
        AND (b.lease_expires_at > now()) IS NOT TRUE
        AND NOT EXISTS (SELECT FROM sync_requests s WHERE s.request_id = $3)
    ORDER BY b.queue_at
    LIMIT CASE WHEN lanes.lane = 1 THEN greatest($1::bigint / 2, 1) ELSE $1::bigint END
    FOR NO KEY UPDATE SKIP LOCKED
) AS q
ORDER BY lanes.lane = 1 DESC, q.queue_at - make_interval(secs => lanes.head_start), q.id
LIMIT $1
