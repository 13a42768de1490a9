-- name: make_budgets_due
-- Makes all budgets that have refs due at the same time, $1 seconds from now; returns that time.
WITH at AS (
    SELECT clock_timestamp() + make_interval(secs => $1::double precision) AS due
), budgets AS (
    UPDATE git_budgets b
    SET next_due_at = at.due
    FROM at
    WHERE b.next_due_at IS NOT NULL
)
SELECT at.due
FROM at
