-- name: claim_budgets
-- Leases budgets that are ready, with at most $3 of their refs over all, to the worker $2 for $4
-- seconds, as the request $1. Returns every budget that had its turn, how many refs were leased of it,
-- and whether an event was recorded.
--
-- Fairness is deficit round robin over keys and lanes. There is a queue of keys for each lane; a turn
-- of a key hands out up to a quantum ($5) of its due refs, so that batches are full, and then it is
-- the next one's, until $3 are leased. A turn that was cut short by that is continued later
-- (turn_left). Of any ten turns six are the viewed lane's, three the active one's and one the idle
-- one's (slot); so are of any ten refs of a turn. What a lane does not use goes to the others. The
-- sequence has each claim begin elsewhere in that round, so that no lane starves, however little a
-- claim takes.
--
-- Refs that somebody waits for come first, but take no more than half of the $3 from others (a batch
-- of one is theirs). A budget that is leased is not ready: what somebody waits for in it, and that
-- lease does not hold, waits for the lease to end. Refs that are due soon only fill what the due ones
-- leave free.
--
-- Looks at no more than $6 keys of each queue, and at no more than a quantum of each lane of the keys
-- whose turn it is, each by index: what it costs does not grow with what waits. Rows that another
-- worker claims at the moment are skipped, not waited for; a budget's row is locked before its refs,
-- so that nobody else leases or plans them meanwhile.
--
-- A row that changed after this statement's snapshot is judged again as it is now, hence the
-- conditions of the UPDATE. Nothing is leased for a credential that the host rejected, or that it is
-- not to be asked about yet, however its refs became due: they wait with that problem. Where all that
-- leaves a budget without refs, the caller settles it (settle_budgets).
WITH RECURSIVE turn AS MATERIALIZED (
    SELECT nextval('sync_turns') AS number
), slot AS MATERIALIZED (
    SELECT
        r.lane,
        r.place,
        row_number() OVER (PARTITION BY r.lane ORDER BY r.place) - 1 AS number,
        count(*) OVER (PARTITION BY r.lane) AS of_lane
    FROM (
        SELECT round.lane, (round.place + 10 - turn.number % 10) % 10 AS place
        FROM turn
        CROSS JOIN (
            VALUES (2, 0), (3, 1), (2, 2), (2, 3), (3, 4), (2, 5), (4, 6), (2, 7), (3, 8), (2, 9)
        ) AS round (lane, place)
    ) AS r
), awaited AS MATERIALIZED (
    SELECT b.id, b.ready_at, b.turn_left
    FROM git_budgets b
    WHERE b.interactive_since IS NOT NULL
        AND b.ready_at <= now()
    ORDER BY b.ready_at
    LIMIT least(greatest($3::bigint / 2, 1), $6::bigint)
    FOR UPDATE SKIP LOCKED
), viewed AS MATERIALIZED (
    SELECT b.id, b.ready_at, b.turn_left, 2 AS lane
    FROM git_budgets b
    WHERE b.lane = 2
        AND b.ready_at <= now()
        AND b.id NOT IN (SELECT a.id FROM awaited a)
    ORDER BY b.ready_at
    LIMIT least($3::bigint, $6::bigint)
    FOR UPDATE SKIP LOCKED
), active AS MATERIALIZED (
    SELECT b.id, b.ready_at, b.turn_left, 3 AS lane
    FROM git_budgets b
    WHERE b.lane = 3
        AND b.ready_at <= now()
        AND b.id NOT IN (SELECT a.id FROM awaited a)
    ORDER BY b.ready_at
    LIMIT least($3::bigint, $6::bigint)
    FOR UPDATE SKIP LOCKED
), idle AS MATERIALIZED (
    SELECT b.id, b.ready_at, b.turn_left, 4 AS lane
    FROM git_budgets b
    WHERE b.lane = 4
        AND b.ready_at <= now()
        AND b.id NOT IN (SELECT a.id FROM awaited a)
    ORDER BY b.ready_at
    LIMIT least($3::bigint, $6::bigint)
    FOR UPDATE SKIP LOCKED
), waiting AS (
    SELECT
        q.id,
        q.ready_at,
        q.turn_left,
        q.lane,
        row_number() OVER (PARTITION BY q.lane ORDER BY q.ready_at) - 1 AS number
    FROM (
        SELECT v.id, v.ready_at, v.turn_left, v.lane FROM viewed v
        UNION ALL
        SELECT a.id, a.ready_at, a.turn_left, a.lane FROM active a
        UNION ALL
        SELECT i.id, i.ready_at, i.turn_left, i.lane FROM idle i
    ) AS q
), place AS MATERIALIZED (
    SELECT
        k.id,
        row_number() OVER (ORDER BY k.place, k.ready_at) AS number,
        least(CASE WHEN k.turn_left > 0 THEN k.turn_left ELSE $5::bigint END, $3::bigint) AS quantum
    FROM (
        SELECT
            w.id, w.ready_at, w.turn_left, s.place + 10 * (w.number / s.of_lane) AS place
        FROM waiting w
        JOIN slot s ON s.lane = w.lane AND s.number = w.number % s.of_lane
        UNION ALL
        -- What else is due of them comes last: they have had their share.
        SELECT a.id, a.ready_at, a.turn_left, 1000000 FROM awaited a
    ) AS k
), asked AS MATERIALIZED (
    SELECT d.budget_id, d.id
    FROM (
        SELECT
            a.id AS budget_id,
            a.ready_at,
            s.id,
            row_number() OVER (PARTITION BY a.id ORDER BY s.due_at, s.id) AS number
        FROM awaited a
        CROSS JOIN LATERAL (
            SELECT s.id, s.due_at
            FROM chat_diff_statuses s
            WHERE s.budget_id = a.id
                AND s.lane = 1
                AND s.due_at <= now()
            ORDER BY s.due_at
            LIMIT greatest($3::bigint / 2, 1)
        ) AS s
    ) AS d
    ORDER BY d.number, d.ready_at
    LIMIT greatest($3::bigint / 2, 1)
), walk AS (
    SELECT
        0::bigint AS number,
        (SELECT count(*) FROM asked) AS taken,
        NULL::uuid AS budget_id,
        '{}'::uuid[] AS ids,
        0::bigint AS owed
    UNION ALL
    SELECT
        p.number,
        w.taken + cardinality(t.ids),
        p.id,
        t.ids,
        t.owed
    FROM walk w
    JOIN place p ON p.number = w.number + 1
    CROSS JOIN LATERAL (
        SELECT
            (coalesce(array_agg(c.id ORDER BY c.place, c.due_at, c.id), '{}'))
                [1:($3::bigint - w.taken)::integer] AS ids,
            CASE
                WHEN count(*) > $3::bigint - w.taken THEN p.quantum - ($3::bigint - w.taken)
                ELSE 0
            END AS owed
        FROM (
            SELECT
                d.id,
                d.due_at,
                -- What somebody waits for is in no lane's share.
                coalesce(s.place + 10 * (d.number / s.of_lane), -1) AS place
            FROM (
                SELECT
                    r.id,
                    r.due_at,
                    r.lane,
                    row_number() OVER (PARTITION BY r.lane ORDER BY r.due_at, r.id) - 1 AS number
                FROM generate_series(1, 4) AS lanes (lane)
                CROSS JOIN LATERAL (
                    SELECT s.id, s.due_at, s.lane
                    FROM chat_diff_statuses s
                    WHERE s.budget_id = p.id
                        AND s.lane = lanes.lane
                        AND s.due_at <= now()
                    ORDER BY s.due_at
                    LIMIT p.quantum
                ) AS r
                WHERE r.id NOT IN (SELECT a.id FROM asked a)
            ) AS d
            LEFT JOIN slot s ON s.lane = d.lane AND s.number = d.number % s.of_lane
            ORDER BY 3, d.due_at, d.id
            LIMIT p.quantum
        ) AS c
    ) AS t
    WHERE w.taken < $3::bigint
), due AS MATERIALIZED (
    SELECT a.budget_id, a.id FROM asked a
    UNION ALL
    SELECT w.budget_id, unnest(w.ids) FROM walk w
), free AS (
    SELECT $3::bigint - count(*) AS refs FROM due
), chosen AS MATERIALIZED (
    SELECT d.budget_id, d.id FROM due d
    UNION ALL
    (
        SELECT e.budget_id, e.id
        FROM (SELECT DISTINCT d.budget_id AS id FROM due d) AS b
        CROSS JOIN free
        CROSS JOIN LATERAL (
            SELECT s.budget_id, s.id
            FROM chat_diff_statuses s
            WHERE s.budget_id = b.id
                AND s.early_at <= now()
                -- Also what is due and was not in this turn; looking for others would pass over all of it.
                AND s.id NOT IN (SELECT d.id FROM due d)
            ORDER BY s.early_at
            LIMIT least(free.refs, $5::bigint)
        ) AS e
        LIMIT (SELECT free.refs FROM free)
    )
), leased_budgets AS (
    UPDATE git_budgets b
    SET lease_token = gen_random_uuid(),
        lease_expires_at = now() + make_interval(secs => $4::double precision),
        lease_worker = $2,
        lease_request_id = $1,
        leased_at = now(),
        turn_left = coalesce((SELECT w.owed FROM walk w WHERE w.budget_id = b.id), 0)
    WHERE b.id IN (SELECT c.budget_id FROM chosen c)
    RETURNING b.id, b.lease_token
), locked AS (
    SELECT s.id, s.chat_id, s.owner_id, s.provider_id, s.lane, s.problem_class
    FROM chat_diff_statuses s
    -- Of an array, a plan expects little, and looks each up; of a join it might hash the whole table.
    WHERE s.id = ANY (ARRAY(SELECT c.id FROM chosen c))
    ORDER BY s.id
    FOR UPDATE
), judged AS (
    SELECT
        l.id,
        l.chat_id,
        l.problem_class AS former_problem,
        a.confirm_after,
        CASE
            WHEN a.credential_state = 'rejected' THEN 'rejected'
            WHEN a.confirm_after > now() THEN 'suspect'
            -- Of an archived chat, only what somebody waits for is looked up.
            WHEN c.archived AND l.lane <> 1 THEN 'archived'
            ELSE 'lease'
        END AS verdict
    FROM locked l
    JOIN chats c ON c.id = l.chat_id
    LEFT JOIN git_accounts a ON a.user_id = l.owner_id AND a.provider_id = l.provider_id
), leased_refs AS (
    UPDATE chat_diff_statuses s
    SET lease_token = CASE WHEN j.verdict = 'lease' THEN b.lease_token END,
        due_at = CASE j.verdict
            WHEN 'lease' THEN s.due_at
            WHEN 'suspect' THEN j.confirm_after
        END,
        early_at = CASE j.verdict
            WHEN 'lease' THEN s.early_at
            WHEN 'suspect' THEN j.confirm_after
        END,
        problem_class = CASE j.verdict
            WHEN 'suspect' THEN 'credential_suspect'
            WHEN 'rejected' THEN 'credential_rejected'
            ELSE s.problem_class
        END,
        problem_since = CASE
            WHEN j.verdict NOT IN ('suspect', 'rejected') THEN s.problem_since
            WHEN s.problem_class = 'credential_' || j.verdict THEN s.problem_since
            ELSE now()
        END,
        problem_until = CASE
            WHEN j.verdict NOT IN ('suspect', 'rejected') THEN s.problem_until
        END,
        -- Somebody may be waiting for an answer, and that is one.
        outcome_seq = s.outcome_seq + (j.verdict IN ('suspect', 'rejected'))::integer
    FROM judged j
    CROSS JOIN leased_budgets b
    WHERE s.id = j.id
        AND s.budget_id = b.id
        -- No condition for an index: these are the rows by their ids, not all that are due.
        AND (s.early_at <= now()) IS TRUE
    RETURNING
        s.budget_id,
        s.lease_token,
        s.chat_id,
        s.problem_class IS DISTINCT FROM j.former_problem AS changed
), recorded AS (
    INSERT INTO change_events (chat_id, kind)
    SELECT DISTINCT r.chat_id, 'diff_status_changed'
    FROM leased_refs r
    WHERE r.changed
    RETURNING id
), served AS (
    SELECT a.id FROM awaited a
    UNION
    SELECT w.budget_id FROM walk w WHERE w.budget_id IS NOT NULL
)
SELECT r.id, count(s.lease_token) AS refs, EXISTS (SELECT FROM recorded) AS events
FROM served r
LEFT JOIN leased_refs s ON s.budget_id = r.id
GROUP BY r.id
