-- name: make_refs_due
-- Makes all refs due, as if a host had been away, but for their budgets: nothing is leased before those
-- are due, too. That so many rows are written takes seconds, which are none of those that refs wait.
WITH budgets AS (
    UPDATE git_budgets b
    SET next_due_at = now() + interval '1 day',
        lane = 4,
        -- What was sent before is long ago, and so is what was learned of the limit.
        burst_level = 0,
        graphql_remaining = NULL,
        rest_remaining = NULL
    WHERE b.next_due_at IS NOT NULL
)
UPDATE chat_diff_statuses s
SET due_at = now(),
    early_at = now(),
    lane = 4
