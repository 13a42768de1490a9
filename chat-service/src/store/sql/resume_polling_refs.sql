-- name: resume_polling_refs
-- Makes the polled refs of the chat $1, which was unarchived, due now.
UPDATE chat_diff_statuses
SET due_at = now(), early_at = now(), lane = 3
WHERE chat_id = $1
    AND (is_primary OR pull_request_state = 'open')
