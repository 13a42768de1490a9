-- name: move_budget_refs
-- Moves all refs of the budget $1 to the budget $2. The caller has locked both, and neither is leased.
WITH locked AS (
    SELECT s.id
    FROM chat_diff_statuses s
    WHERE s.budget_id = $1
    ORDER BY s.id
    FOR UPDATE
)
UPDATE chat_diff_statuses s
SET budget_id = $2,
    lease_token = NULL
FROM locked l
WHERE s.id = l.id
