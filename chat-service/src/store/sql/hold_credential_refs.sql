-- name: hold_credential_refs
-- Stops what the account $2 of the budget $1, which the caller has locked, would look up, each ref with
-- its change event: for good when the host rejected the credential, and else until that is to be
-- confirmed. At most $3 refs of each lane. Returns how many, and does nothing when the credential is
-- accepted, or spends another budget.
WITH account AS (
    SELECT a.user_id, a.provider_id, a.credential_state, a.confirm_after
    FROM git_accounts a
    WHERE a.id = $2
        AND a.budget_id = $1
        AND (a.credential_state = 'rejected' OR a.confirm_after > now())
), spending AS (
    SELECT s.id, a.credential_state, a.confirm_after
    FROM account a
    CROSS JOIN generate_series(1, 4) AS lanes (lane)
    CROSS JOIN LATERAL (
        SELECT r.id
        FROM chat_diff_statuses r
        WHERE r.budget_id = $1
            AND r.lane = lanes.lane
            AND r.due_at < coalesce(a.confirm_after, 'infinity')
            AND r.owner_id = a.user_id
            AND r.provider_id = a.provider_id
        ORDER BY r.due_at
        LIMIT $3
    ) AS s
), locked AS (
    SELECT s.id, p.credential_state, p.confirm_after, s.problem_class
    FROM chat_diff_statuses s
    JOIN spending p ON p.id = s.id
    ORDER BY s.id
    FOR UPDATE OF s
), held AS (
    UPDATE chat_diff_statuses s
    SET due_at = l.confirm_after,
        early_at = l.confirm_after,
        lane = greatest(s.lane, 2),
        problem_class = 'credential_' || l.credential_state,
        problem_since = CASE
            WHEN l.problem_class = 'credential_' || l.credential_state THEN s.problem_since
            ELSE now()
        END,
        problem_until = NULL,
        -- Somebody may be waiting for an answer, and that is one.
        outcome_seq = s.outcome_seq + 1
    FROM locked l
    WHERE s.id = l.id
    RETURNING s.chat_id, s.problem_class IS DISTINCT FROM l.problem_class AS changed
), recorded AS (
    INSERT INTO change_events (chat_id, kind)
    SELECT DISTINCT h.chat_id, 'diff_status_changed'
    FROM held h
    WHERE h.changed
    RETURNING id
)
SELECT
    (SELECT count(*) FROM held) AS refs,
    EXISTS (SELECT FROM recorded) AS events
