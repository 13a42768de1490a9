-- name: make_budgets_due
-- Makes the budgets $1 due now at the latest, and locks them; with $2, somebody waits for them. A
-- pause stays: ready_at follows it, and so does the place in the queue of one that is due already.
-- Returns those that there are.
WITH locked AS (
    SELECT b.id
    FROM git_budgets b
    WHERE b.id = ANY($1::uuid[])
    ORDER BY b.id
    FOR UPDATE
)
UPDATE git_budgets b
SET next_due_at = least(b.next_due_at, now()),
    lane = least(
        CASE WHEN b.next_due_at <= now() THEN b.lane END,
        CASE WHEN $2::boolean THEN 2 ELSE 3 END
    ),
    interactive_since = CASE
        WHEN $2::boolean THEN coalesce(b.interactive_since, now())
        ELSE b.interactive_since
    END
FROM locked l
WHERE b.id = l.id
RETURNING b.id
