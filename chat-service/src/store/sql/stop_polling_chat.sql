-- name: stop_polling_chat
-- Plans nothing more for the refs of the chat $1, which was archived. Their budgets find out at
-- their next lease. Locks all of them, in the order of their ids: the primary is written next.
WITH locked AS (
    SELECT s.id
    FROM chat_diff_statuses s
    WHERE s.chat_id = $1
    ORDER BY s.id
    FOR UPDATE
)
UPDATE chat_diff_statuses s
SET due_at = NULL, early_at = NULL
FROM locked l
WHERE s.id = l.id
    AND s.due_at IS NOT NULL
