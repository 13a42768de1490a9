-- name: demote_refs
-- Ends the primacy of the primary refs of the chats $1. Only those with an open pull request are
-- still polled.
UPDATE chat_diff_statuses
SET is_primary = FALSE,
    due_at = CASE WHEN pull_request_state = 'open' THEN due_at END,
    early_at = CASE WHEN pull_request_state = 'open' THEN early_at END
WHERE chat_id = ANY($1::uuid[])
    AND is_primary
