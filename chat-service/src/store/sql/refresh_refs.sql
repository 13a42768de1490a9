-- name: refresh_refs
-- Makes the polled refs of the chat $1, except those of $2, due now, as those that somebody waits
-- for. Returns all of them: how many outcomes each has had, its budget, and whether that is paused, or
-- the host refuses the credential: then the ref is left alone. One whose lookup is under way keeps its due time: its outcome is
-- waited for. The caller has locked the budgets (lock_chat_budgets).
--
-- So is a ref of an archived chat: it is looked up once, and its outcome plans nothing more.
WITH polled AS (
    SELECT
        s.id,
        s.outcome_seq,
        s.budget_id,
        (
            b.paused_until > now()
            OR a.credential_state = 'rejected'
            OR a.confirm_after > now()
        ) IS TRUE AS paused,
        (s.lease_token = b.lease_token AND b.lease_expires_at > now() AND s.due_at IS NOT NULL)
            IS TRUE AS under_way
    FROM chat_diff_statuses s
    JOIN git_budgets b ON b.id = s.budget_id
    LEFT JOIN git_accounts a ON a.user_id = s.owner_id AND a.provider_id = s.provider_id
    WHERE s.chat_id = $1
        AND s.id <> ALL($2::uuid[])
        AND (s.is_primary OR s.pull_request_state = 'open')
    ORDER BY s.id
    FOR UPDATE OF s
), made AS (
    UPDATE chat_diff_statuses s
    SET lane = 1,
        due_at = CASE WHEN p.under_way THEN s.due_at ELSE least(s.due_at, now()) END,
        early_at = CASE WHEN p.under_way THEN s.early_at ELSE least(s.early_at, now()) END
    FROM polled p
    WHERE s.id = p.id
        AND NOT p.paused
)
SELECT p.id, p.outcome_seq, p.budget_id, p.paused
FROM polled p
