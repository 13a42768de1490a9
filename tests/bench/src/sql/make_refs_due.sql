-- name: make_refs_due
-- Makes all refs due at the same time, $1 seconds from now, as if a host had been away; returns that time.
WITH at AS (
    SELECT now() + make_interval(secs => $1::double precision) AS due
), refs AS (
    UPDATE chat_diff_statuses s
    SET due_at = at.due,
        early_at = at.due,
        lane = 4
    FROM at
), budgets AS (
    UPDATE git_budgets b
    SET next_due_at = at.due,
        lane = 4,
        -- What was sent before is long ago, and so is what was learned of the limit.
        burst_level = 0,
        graphql_remaining = NULL,
        rest_remaining = NULL
    FROM at
    WHERE b.next_due_at IS NOT NULL
)
SELECT at.due
FROM at
