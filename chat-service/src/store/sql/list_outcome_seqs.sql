-- name: list_outcome_seqs
-- How many outcomes the refs $1 have had, and what the last one was, the primary first. A ref that
-- is gone has no row.
SELECT
    s.id,
    s.outcome_seq,
    s.problem_class,
    CASE
        WHEN s.problem_until > now() THEN extract(epoch FROM s.problem_until - now())
    END::double precision AS retry_seconds
FROM chat_diff_statuses s
WHERE s.id = ANY($1::uuid[])
ORDER BY s.is_primary DESC, s.reported_at DESC, s.id DESC
