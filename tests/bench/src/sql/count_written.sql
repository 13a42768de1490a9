-- name: count_written
-- How many refs were written since $1; how many seconds after it the last one was; and the 95th percentile
-- of those of users with at most $2 refs.
SELECT
    count(*) FILTER (WHERE s.refreshed_at >= $1) AS written,
    coalesce(extract(epoch FROM max(s.refreshed_at) - $1), 0)::double precision AS last_seconds,
    coalesce(
        percentile_cont(0.95) WITHIN GROUP (
            ORDER BY extract(epoch FROM s.refreshed_at - $1)
        ) FILTER (WHERE s.refreshed_at >= $1 AND o.refs <= $2),
        0
    )::double precision AS small_p95_seconds,
    count(*) FILTER (WHERE s.refreshed_at IS NULL OR s.refreshed_at < $1) AS missing,
    count(*) FILTER (
        WHERE o.refs <= $2 AND (s.refreshed_at IS NULL OR s.refreshed_at < $1)
    ) AS small_missing,
    count(*) FILTER (WHERE s.problem_class IS NOT NULL) AS failed
FROM chat_diff_statuses s
JOIN (
    SELECT f.owner_id, count(*) AS refs
    FROM chat_diff_statuses f
    GROUP BY f.owner_id
) AS o ON o.owner_id = s.owner_id
