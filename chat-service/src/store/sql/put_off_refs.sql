-- name: put_off_refs
-- Puts off what would be looked up in vain: for each of the refs $2, which failed with a problem of
-- their whole repository, the refs of the same owner in the same repository that are due before it is
-- again wait until then, with its problem, each with its change event. What is known of them stays.
-- At most $3 of a repository, all in the budget $1, which the caller has locked. What was reported since
-- the lease began ($4) is looked up, whatever that lease found.
WITH failed AS (
    SELECT DISTINCT ON (f.owner_id, f.provider_id, f.repository_key)
        f.id, f.owner_id, f.provider_id, f.repository_key, f.due_at, f.early_at, f.problem_class,
        f.problem_until
    FROM chat_diff_statuses f
    WHERE f.id = ANY($2::uuid[])
        AND f.budget_id = $1
        AND f.problem_class IS NOT NULL
        AND f.due_at IS NOT NULL
    ORDER BY f.owner_id, f.provider_id, f.repository_key, f.due_at DESC
), siblings AS (
    SELECT s.id, f.due_at, f.early_at, f.problem_class, f.problem_until
    FROM failed f
    CROSS JOIN LATERAL (
        SELECT r.id
        FROM chat_diff_statuses r
        WHERE r.owner_id = f.owner_id
            AND r.provider_id = f.provider_id
            AND r.repository_key = f.repository_key
            AND r.due_at < f.due_at
            AND r.reported_at < $4
            AND r.budget_id = $1
            AND r.id <> ALL($2::uuid[])
        ORDER BY r.due_at
        LIMIT $3
    ) AS s
), locked AS (
    SELECT
        s.id, p.due_at, p.early_at, p.problem_class, p.problem_until,
        s.problem_class AS former_class, s.problem_until AS former_until
    FROM chat_diff_statuses s
    JOIN siblings p ON p.id = s.id
    ORDER BY s.id
    FOR UPDATE OF s
), put_off AS (
    UPDATE chat_diff_statuses s
    SET due_at = l.due_at,
        early_at = l.early_at,
        -- Who waits for it is answered.
        lane = greatest(s.lane, 2),
        outcome_seq = s.outcome_seq + 1,
        problem_class = l.problem_class,
        problem_since = CASE
            WHEN l.former_class = l.problem_class THEN s.problem_since
            ELSE now()
        END,
        problem_until = l.problem_until
    FROM locked l
    WHERE s.id = l.id
        AND s.due_at < l.due_at
        AND s.reported_at < $4
    RETURNING
        s.chat_id,
        (l.former_class, l.former_until) IS DISTINCT FROM (s.problem_class, s.problem_until)
            AS changed
), recorded AS (
    INSERT INTO change_events (chat_id, kind)
    SELECT DISTINCT p.chat_id, 'diff_status_changed'
    FROM put_off p
    WHERE p.changed
    RETURNING id
)
SELECT
    (SELECT count(*) FROM put_off) AS refs,
    EXISTS (SELECT FROM recorded) AS events
