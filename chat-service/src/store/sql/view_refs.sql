-- name: view_refs
-- Notes that somebody views the chats $1 for $4 seconds from now. What is planned in the budgets $2,
-- which the caller has locked (lock_viewed_budgets), and has no problem is due $3 seconds after its last
-- refresh at the latest, in the viewed lane. Settled pull requests, and those that keep failing, keep
-- their time: looking at them changes nothing.
WITH viewed AS (
    SELECT
        s.id,
        (
            s.due_at IS NOT NULL
            AND s.budget_id = ANY($2::uuid[])
            AND s.problem_class IS NULL
            AND coalesce(s.pull_request_state, 'open') = 'open'
        ) AS urgent,
        greatest(
            now(),
            coalesce(s.refreshed_at, s.reported_at) + make_interval(secs => $3::double precision)
        ) AS moment
    FROM chat_diff_statuses s
    WHERE s.chat_id = ANY($1::uuid[])
        AND (s.is_primary OR s.pull_request_state = 'open')
    ORDER BY s.id
    FOR UPDATE
)
UPDATE chat_diff_statuses s
SET viewed_until = now() + make_interval(secs => $4::double precision),
    due_at = CASE WHEN v.urgent THEN least(s.due_at, v.moment) ELSE s.due_at END,
    early_at = CASE WHEN v.urgent THEN least(s.early_at, v.moment) ELSE s.early_at END,
    lane = CASE WHEN v.urgent THEN least(s.lane, 2) ELSE s.lane END
FROM viewed v
WHERE s.id = v.id
