-- name: hint_refs
-- Makes the refs $1 due within 5 s, each at a moment of its own, so that one change does not wake all
-- keys at once. The caller has locked their budgets, $2: a ref that moved meanwhile is left alone.
-- No pause is lifted: a key is leased when it is ready.
WITH locked AS (
    SELECT s.id
    FROM chat_diff_statuses s
    WHERE s.id = ANY($1::uuid[])
        AND s.budget_id = ANY($2::uuid[])
        AND s.problem_class IS NULL
        AND (s.is_primary OR s.pull_request_state = 'open')
    ORDER BY s.id
    FOR UPDATE
), moment AS MATERIALIZED (
    SELECT l.id, now() + random() * interval '5 seconds' AS due_at
    FROM locked l
)
UPDATE chat_diff_statuses s
SET due_at = least(s.due_at, m.due_at),
    early_at = least(s.early_at, m.due_at),
    lane = least(s.lane, 3)
FROM moment m
WHERE s.id = m.id
RETURNING s.id
