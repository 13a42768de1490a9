-- name: claim_budgets
-- Leases budgets that are ready, longest ready first, with at most $3 of their refs over all, to the
-- worker $2 for $4 seconds, as the request $1. Returns every budget that it looked at, and how many
-- refs were leased of it.
--
-- Refs that somebody waits for come first, but take no more than half of the $3 from others (a
-- batch of one is theirs). A budget that is leased is not ready: what somebody waits for in it, and
-- that lease does not hold, waits for the lease to end.
--
-- Rows that another worker claims at the moment are skipped, not waited for; a budget's row is
-- locked before its refs, so that nobody else leases or plans them meanwhile. Budgets take turns: each
-- one's most urgent ref comes before anybody's second, so that a budget with many refs leaves room
-- for others. Refs that are due soon only fill what the due ones leave free.
--
-- A row that changed after this statement's snapshot is judged again as it is now, hence the
-- conditions of the UPDATE. Where that leaves a budget without refs, or its refs turn out to be
-- archived or planned for later, the caller settles it (settle_budgets).
WITH awaited AS (
    SELECT b.id, b.ready_at
    FROM git_budgets b
    WHERE b.interactive_since IS NOT NULL
        AND b.ready_at <= now()
    ORDER BY b.ready_at
    LIMIT greatest($3::bigint / 2, 1)
    FOR UPDATE SKIP LOCKED
), others AS (
    SELECT b.id, b.ready_at
    FROM git_budgets b
    WHERE b.ready_at <= now()
        AND b.id NOT IN (SELECT a.id FROM awaited a)
    ORDER BY b.ready_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED
), ready AS (
    SELECT a.id, a.ready_at FROM awaited a
    UNION ALL
    SELECT o.id, o.ready_at FROM others o
), due AS (
    SELECT
        r.id AS budget_id,
        r.ready_at,
        s.id,
        s.lane,
        row_number() OVER (PARTITION BY r.id ORDER BY s.lane, s.due_at, s.id) AS turn
    FROM ready r
    CROSS JOIN generate_series(1, 4) AS lanes (lane)
    CROSS JOIN LATERAL (
        SELECT s.id, s.lane, s.due_at
        FROM chat_diff_statuses s
        WHERE s.budget_id = r.id
            AND s.lane = lanes.lane
            AND s.due_at <= now()
        ORDER BY s.due_at
        LIMIT $3
    ) AS s
), early AS (
    SELECT
        r.id AS budget_id,
        r.ready_at,
        s.id,
        row_number() OVER (PARTITION BY r.id ORDER BY s.lane, s.due_at, s.id) AS turn
    FROM ready r
    CROSS JOIN LATERAL (
        SELECT s.id, s.lane, s.due_at
        FROM chat_diff_statuses s
        WHERE s.budget_id = r.id
            AND s.early_at <= now()
            AND s.due_at > now()
        ORDER BY s.early_at
        LIMIT $3
    ) AS s
    WHERE (SELECT count(*) FROM due) < $3
), chosen AS (
    SELECT taken.budget_id, taken.id
    FROM (
        SELECT
            d.budget_id, d.id, d.turn, d.ready_at, FALSE AS soon,
            d.lane = 1 AND row_number() OVER (
                PARTITION BY d.lane = 1
                ORDER BY d.turn, d.ready_at
            ) <= greatest($3::bigint / 2, 1) AS first
        FROM due d
        UNION ALL
        SELECT e.budget_id, e.id, e.turn, e.ready_at, TRUE, FALSE
        FROM early e
        WHERE e.budget_id IN (SELECT d.budget_id FROM due d)
    ) AS taken
    ORDER BY taken.soon, taken.first DESC, taken.turn, taken.ready_at
    LIMIT $3
), leased_budgets AS (
    UPDATE git_budgets b
    SET lease_token = gen_random_uuid(),
        lease_expires_at = now() + make_interval(secs => $4::double precision),
        lease_worker = $2,
        lease_request_id = $1
    WHERE b.id IN (SELECT c.budget_id FROM chosen c)
    RETURNING b.id, b.lease_token
), locked AS (
    SELECT s.id
    FROM chat_diff_statuses s
    JOIN chosen c ON c.id = s.id
    ORDER BY s.id
    FOR UPDATE OF s
), leased_refs AS (
    UPDATE chat_diff_statuses s
    -- Of an archived chat, only what somebody waits for is looked up.
    SET lease_token = CASE WHEN NOT c.archived OR s.lane = 1 THEN b.lease_token END,
        due_at = CASE WHEN NOT c.archived OR s.lane = 1 THEN s.due_at END,
        early_at = CASE WHEN NOT c.archived OR s.lane = 1 THEN s.early_at END
    FROM locked l, leased_budgets b, chats c
    WHERE s.id = l.id
        AND s.budget_id = b.id
        AND s.early_at <= now()
        AND c.id = s.chat_id
    RETURNING s.budget_id, s.lease_token
)
SELECT r.id, count(s.lease_token) AS refs
FROM ready r
LEFT JOIN leased_refs s ON s.budget_id = r.id
GROUP BY r.id
