-- name: put_off_refs
-- Has the refs $1 wait until those of the same account in the same repository of $2 are due again,
-- which failed with a problem of the whole repository, and gives them that problem, each with its
-- change event. What is known of them stays. One that was reported since the lease began ($3) is
-- looked up, whatever that lease found, and one that was read since can be. The caller has locked
-- the refs. Returns how many, and whether an event was recorded.
WITH failed AS (
    SELECT DISTINCT ON (f.account_id, f.repository_key)
        f.account_id, f.repository_key, f.problem_class, p.due_at, p.early_at
    FROM git_refs f
    JOIN git_ref_polls p ON p.ref_id = f.id
    WHERE f.id = ANY($2::uuid[])
        AND f.problem_class IS NOT NULL
        AND p.due_at IS NOT NULL
    ORDER BY f.account_id, f.repository_key, p.due_at DESC
), sibling AS (
    SELECT
        r.id, r.chat_id, r.problem_class AS former, f.problem_class, f.due_at, f.early_at
    FROM git_refs r
    JOIN git_ref_polls p ON p.ref_id = r.id
    JOIN failed f ON f.account_id = r.account_id AND f.repository_key = r.repository_key
    WHERE r.id = ANY($1::uuid[])
        AND p.due_at < f.due_at
        AND r.reported_at < $3
        AND (p.refreshed_at >= $3) IS NOT TRUE
), put_off AS (
    UPDATE git_ref_polls p
    SET due_at = s.due_at,
        early_at = s.early_at,
        -- A person who waits for it is answered.
        lane = greatest(p.lane, 2),
        outcome_seq = p.outcome_seq + 1
    FROM sibling s
    WHERE p.ref_id = s.id
), shown AS (
    UPDATE git_refs r
    SET problem_class = s.problem_class,
        problem_since = now()
    FROM sibling s
    WHERE r.id = s.id
        AND s.former IS DISTINCT FROM s.problem_class
), recorded AS (
    INSERT INTO change_events (chat_id, kind)
    SELECT DISTINCT s.chat_id, 'diff_status_changed'
    FROM sibling s
    WHERE s.former IS DISTINCT FROM s.problem_class
    RETURNING id
)
SELECT
    (SELECT count(*) FROM sibling) AS refs,
    EXISTS (SELECT FROM recorded) AS events
