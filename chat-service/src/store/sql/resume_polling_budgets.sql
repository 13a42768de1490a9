-- name: resume_polling_budgets
-- Makes the budgets of the polled refs of the chat $1, which was unarchived, due now. Runs before
-- resume_polling_refs: budgets are locked before refs.
WITH due AS (
    SELECT b.id
    FROM git_budgets b
    WHERE b.id IN (
        SELECT s.budget_id
        FROM chat_diff_statuses s
        WHERE s.chat_id = $1
            AND (s.is_primary OR s.pull_request_state = 'open')
    )
    ORDER BY b.id
    FOR UPDATE
)
UPDATE git_budgets b
SET next_due_at = least(b.next_due_at, now())
FROM due
WHERE b.id = due.id
