-- name: settle_budgets
-- Sets the places in the queue of the budgets $1, and of those of the accounts $3, from their
-- accounts. With $2, also ends their leases: a turn is over, and the budget goes behind those that
-- wait. The caller has locked their rows in an earlier statement, so that this one sees every ref
-- that was made due before: a transaction that makes one due locks the budget's row, too.
--
-- A lane is ready when its first account is due and no pause or rest is for it. The budget is ready
-- with its first lane, and counts as of the most urgent lane that is ready then. An account says
-- only when its first ref is due: while a pause or rest withholds that, and not more urgent ones,
-- the budget is looked at every 30 s. One that is planned already is never put off, nor does one
-- that is ready leave its place, nor one that is leased until its turn is over; one whose lease was
-- lost is not ready before its backoff has passed. A budget whose lease gives back due refs without
-- saying why rests for 1 s, unless a person waits for one of them: leased_refs is kept meanwhile,
-- and only such a person ends the rest sooner.
--
-- Returns of each budget that changed whether it is ready now or within 5 s. Waiting lease calls
-- are notified of those; of a later one they learn by their own polling.
UPDATE git_budgets b
SET queue_at = q.queue_at,
    lane = f.lane,
    interactive_since = CASE WHEN NOT $2::boolean THEN b.interactive_since END,
    lease_token = CASE WHEN NOT $2::boolean THEN b.lease_token END,
    lease_expires_at = CASE WHEN NOT $2::boolean THEN b.lease_expires_at END,
    lease_worker = CASE WHEN NOT $2::boolean THEN b.lease_worker END,
    lease_request_id = CASE WHEN NOT $2::boolean THEN b.lease_request_id END,
    leased_refs = CASE
        WHEN q.rests OR (NOT $2::boolean AND b.lease_token IS NOT NULL) THEN b.leased_refs
        ELSE 0
    END,
    lost_leases = CASE WHEN $2::boolean THEN 0 ELSE b.lost_leases END
FROM (
    SELECT
        k.id,
        min(first.ready_at) AS ready_at,
        coalesce(min(first.lane) FILTER (WHERE first.ready_at <= first.horizon), 4)::smallint
            AS lane
    FROM git_budgets k
    LEFT JOIN LATERAL (
        SELECT
            a.lane,
            a.ready_at,
            greatest(min(a.ready_at) OVER (), now()) AS horizon
        FROM generate_series(1, 4) AS lanes (lane)
        CROSS JOIN LATERAL (
            SELECT
                i.lane,
                greatest(
                    i.next_due_at,
                    CASE WHEN k.pause_lane = 1 THEN k.paused_until END,
                    CASE WHEN k.rest_lane = 1 THEN k.rests_until END,
                    CASE WHEN k.pause_lane BETWEEN 2 AND i.lane
                        THEN least(k.paused_until, now() + interval '30 seconds') END,
                    CASE WHEN k.rest_lane BETWEEN 2 AND i.lane
                        THEN least(k.rests_until, now() + interval '30 seconds') END
                ) AS ready_at
            FROM git_accounts i
            WHERE i.budget_id = k.id
                AND i.lane = lanes.lane
                AND i.next_due_at IS NOT NULL
            ORDER BY i.next_due_at
            LIMIT 1
        ) AS a
    ) AS first ON TRUE
    WHERE k.id = ANY($1::uuid[] || ARRAY(
            SELECT o.budget_id
            FROM git_accounts o
            WHERE o.id = ANY($3::uuid[])
                AND o.budget_id IS NOT NULL
        ))
    GROUP BY k.id
) AS f
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN NOT $2::boolean AND o.lease_expires_at > now() THEN o.queue_at
            WHEN f.ready_at IS NULL THEN NULL
            WHEN $2::boolean AND r.rests THEN now() + interval '1 second'
            WHEN $2::boolean THEN greatest(f.ready_at, now())
            WHEN o.lease_token IS NOT NULL THEN greatest(f.ready_at, o.queue_at)
            WHEN r.rests THEN o.queue_at
            WHEN o.queue_at > now() THEN least(greatest(f.ready_at, now()), o.queue_at)
            ELSE greatest(f.ready_at, coalesce(o.queue_at, now()))
        END AS queue_at,
        r.rests
    FROM git_budgets o
    CROSS JOIN LATERAL (
        SELECT (o.leased_refs > 0 AND f.lane > 1 AND CASE
            WHEN $2::boolean
                THEN f.ready_at < now() + interval '1 second'
                    AND (o.paused_until > now() OR o.rests_until > now()) IS NOT TRUE
            ELSE o.lease_token IS NULL AND o.queue_at > now()
        END) IS TRUE AS rests
    ) AS r
    WHERE o.id = f.id
) AS q
WHERE b.id = f.id
    AND ($2::boolean OR (b.queue_at, b.lane) IS DISTINCT FROM (q.queue_at, f.lane))
RETURNING
    (
        b.queue_at <= now() + interval '5 seconds'
        AND (b.lease_expires_at > now()) IS NOT TRUE
    ) IS TRUE AS due
