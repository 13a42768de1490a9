-- name: list_due_refs
-- What is due of the budgets $1, in this order, with at most $2 (one for each) refs of a turn and
-- none from the lane $3 on: budget by budget until $4 refs are reached, and of each what a person
-- waits for, which takes at most half of the $4 while anything else is due.
--
-- A turn is a quantum of due refs over all accounts of the budget, in the order of lanes, one of
-- ten of them the oldest of any lane. It is never cut: the budget that fills the call is its last.
-- At most a hundred of them were never found: those take several requests, where the others are
-- asked about by the hundred, and what becomes due meanwhile waits for the end of the turn.
-- Refs are found through the accounts' index, a quantum of accounts of each lane, and an account's
-- through its polls', about two quanta of each lane over those accounts. An account that was looked
-- at and of which nothing is due is returned without a ref: it is to be settled, lest it hide
-- others. So is one whose token has `expired` and can be renewed: none of its refs is handed out.
WITH due AS MATERIALIZED (
    SELECT
        b.place, b.id AS budget_id, b.quantum, a.id AS account_id, a.expired, p.ref_id, p.lane,
        row_number() OVER (PARTITION BY b.place ORDER BY p.lane, p.due_at, p.ref_id) AS urgency,
        p.known, row_number() OVER (PARTITION BY b.place ORDER BY p.due_at, p.ref_id) AS age
    FROM unnest($1::uuid[], $2::bigint[], $3::smallint[])
        WITH ORDINALITY AS b (id, quantum, withheld_from, place)
    CROSS JOIN generate_series(1, 4) AS account_lanes (lane)
    CROSS JOIN LATERAL (
        SELECT k.id, k.expired, count(*) OVER () AS number
        FROM (
            SELECT i.id, (i.usable_until <= now()) IS TRUE AS expired
            FROM git_accounts i
            WHERE i.budget_id = b.id
                AND i.lane = account_lanes.lane
                AND i.next_due_at <= now()
            ORDER BY i.next_due_at
            LIMIT b.quantum
        ) AS k
    ) AS a
    LEFT JOIN LATERAL (
        SELECT r.ref_id, r.lane, r.due_at, r.known
        FROM generate_series(1, 4) AS ref_lanes (lane)
        CROSS JOIN LATERAL (
            SELECT o.ref_id, o.lane, o.due_at, o.found_at IS NOT NULL AS known
            FROM git_ref_polls o
            WHERE o.account_id = a.id
                AND NOT a.expired
                AND o.lane = ref_lanes.lane
                AND o.lane < b.withheld_from
                AND o.due_at <= now()
            ORDER BY o.due_at
            LIMIT 2 * b.quantum / a.number + 1
        ) AS r
    ) AS p ON TRUE
), awaited AS MATERIALIZED (
    SELECT d.ref_id
    FROM due d
    WHERE d.lane = 1 AND d.urgency <= d.quantum
    ORDER BY d.urgency, d.place
    LIMIT greatest($4::bigint / 2, 1, $4::bigint - (SELECT count(*) FROM due o WHERE o.lane > 1))
), turn AS (
    SELECT
        t.budget_id,
        t.account_id,
        t.ref_id,
        t.awaited,
        count(*) FILTER (WHERE NOT t.awaited)
            OVER (ORDER BY t.place RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM (
        SELECT
            d.place, d.budget_id, d.account_id, d.ref_id, d.quantum, d.known,
            w.ref_id IS NOT NULL AS awaited,
            row_number() OVER sorted AS number,
            count(*) FILTER (WHERE NOT d.known) OVER sorted AS first_looks
        FROM due d
        LEFT JOIN awaited w ON w.ref_id = d.ref_id
        WHERE d.lane > 1 OR w.ref_id IS NOT NULL
        WINDOW sorted AS (
            PARTITION BY d.place
            ORDER BY w.ref_id IS NULL,
                d.urgency > d.quantum - d.quantum / 10 AND d.age > d.quantum / 10, d.urgency
        )
    ) AS t
    WHERE t.number <= t.quantum AND (t.known OR t.first_looks <= 100)
)
SELECT t.budget_id, t.account_id, t.ref_id, FALSE AS expired
FROM turn t
WHERE t.awaited OR t.before + (SELECT count(*) FROM awaited) < $4::bigint
UNION ALL
SELECT d.budget_id, d.account_id, NULL, d.expired
FROM due d
WHERE d.ref_id IS NULL
