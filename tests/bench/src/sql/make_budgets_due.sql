-- name: make_budgets_due
-- Makes all budgets due at the same time, $1 seconds from now; returns that time.
WITH at AS (
    SELECT clock_timestamp() + make_interval(secs => $1::double precision) AS due
), accounts AS (
    UPDATE git_accounts a
    SET next_due_at = now(),
        lane = 4
    WHERE a.budget_id IS NOT NULL
), budgets AS (
    UPDATE git_budgets b
    SET queue_at = at.due,
        lane = 4
    FROM at
)
SELECT at.due
FROM at
