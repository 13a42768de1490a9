-- name: resume_polling_refs
-- Makes the polled refs of the chat $1, which was unarchived, due now, and returns their budgets. The
-- caller has locked those (lock_chat_budgets).
WITH polled AS (
    SELECT s.id
    FROM chat_diff_statuses s
    WHERE s.chat_id = $1
        AND (s.is_primary OR s.pull_request_state = 'open')
    ORDER BY s.id
    FOR UPDATE
)
UPDATE chat_diff_statuses s
SET due_at = now(),
    early_at = now(),
    -- Somebody may be waiting for it already.
    lane = CASE WHEN s.due_at <= now() THEN least(s.lane, 3) ELSE 3 END
FROM polled p
WHERE s.id = p.id
RETURNING s.budget_id
