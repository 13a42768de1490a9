-- name: refresh_refs
-- Makes the polled refs of the chat $1 that are in the budgets $2 due now, as those that somebody
-- waits for, and returns how many outcomes each has had. One whose lookup is under way keeps its due
-- time: its outcome is waited for. The caller has locked the budgets.
WITH polled AS (
    SELECT
        s.id,
        (s.lease_token = b.lease_token AND b.lease_expires_at > now() AND s.due_at IS NOT NULL)
            IS TRUE AS under_way
    FROM chat_diff_statuses s
    JOIN git_budgets b ON b.id = s.budget_id
    WHERE s.chat_id = $1
        AND s.budget_id = ANY($2::uuid[])
        AND (s.is_primary OR s.pull_request_state = 'open')
    ORDER BY s.id
    FOR UPDATE OF s
)
UPDATE chat_diff_statuses s
SET lane = 1,
    due_at = CASE WHEN p.under_way THEN s.due_at ELSE least(s.due_at, now()) END,
    early_at = CASE WHEN p.under_way THEN s.early_at ELSE least(s.early_at, now()) END
FROM polled p
WHERE s.id = p.id
RETURNING s.id, s.outcome_seq
