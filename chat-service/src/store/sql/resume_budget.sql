-- name: resume_budget
-- Ends every pause and rest of the budget with the key $1, and clears the remainder and reset of
-- its windows, which the host's next response states again. What a lease of before observes changes
-- none of that any more. The budget's count of secondary limits stays. No row: no budget has this
-- key.
UPDATE git_budgets b
SET resumes = b.resumes + 1,
    paused_until = NULL,
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
