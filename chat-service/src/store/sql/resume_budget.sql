-- name: resume_budget
-- Ends every pause and rest of the budget with the key $1, and forgets what is left of its windows
-- and when they reset: the host's next answer says it anew. Its secondary limits stay counted. No
-- row: there is no such budget.
UPDATE git_budgets b
SET paused_until = NULL,
    pause_class = NULL,
    pause_lane = NULL,
    rests_until = NULL,
    rest_class = NULL,
    rest_lane = NULL,
    windows = (
        SELECT coalesce(jsonb_agg(
            w.entry - ARRAY['paused_until', 'remaining', 'reset_at'] ORDER BY w.entry ->> 'name'
        ), '[]')
        FROM jsonb_array_elements(b.windows) AS w (entry)
    )
WHERE b.budget_key = $1
RETURNING b.id
