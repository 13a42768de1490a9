-- name: lock_polled_budgets
-- Locks, in the order of their ids, the budgets of the polled refs of the chat $1. Returns for how
-- many seconds each is still paused; NULL when it is not. None for an archived chat.
SELECT
    b.id,
    CASE
        WHEN b.paused_until > now() THEN extract(epoch FROM b.paused_until - now())
    END::double precision AS paused_seconds
FROM git_budgets b
WHERE b.id IN (
    SELECT s.budget_id
    FROM chat_diff_statuses s
    JOIN chats c ON c.id = s.chat_id
    WHERE s.chat_id = $1
        AND NOT c.archived
        AND (s.is_primary OR s.pull_request_state = 'open')
)
ORDER BY b.id
FOR UPDATE
