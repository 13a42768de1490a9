-- name: stop_polling_chat
-- Plans nothing more for the refs of the chat $1, which was archived. Their budgets find out at
-- their next lease.
UPDATE chat_diff_statuses
SET due_at = NULL, early_at = NULL
WHERE chat_id = $1
    AND due_at IS NOT NULL
