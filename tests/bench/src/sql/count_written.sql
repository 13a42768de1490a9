-- name: count_written
-- How many refs were written since $1; how many seconds after it the last one was; and the 95th
-- percentile of those of accounts with at most $2 refs. `looks` are the outcomes that were ever
-- applied: a ref may come round again before the last one was written.
SELECT
    count(*) FILTER (WHERE p.refreshed_at >= $1) AS written,
    sum(p.looks)::bigint AS looks,
    coalesce(extract(epoch FROM max(p.refreshed_at) - $1), 0)::double precision AS last_seconds,
    coalesce(
        percentile_cont(0.95) WITHIN GROUP (
            ORDER BY extract(epoch FROM p.refreshed_at - $1)
        ) FILTER (WHERE p.refreshed_at >= $1 AND o.refs <= $2),
        0
    )::double precision AS small_p95_seconds,
    count(*) FILTER (WHERE p.refreshed_at IS NULL OR p.refreshed_at < $1) AS missing,
    count(*) FILTER (
        WHERE o.refs <= $2 AND (p.refreshed_at IS NULL OR p.refreshed_at < $1)
    ) AS small_missing,
    (SELECT count(*) FROM git_refs r WHERE r.problem_class IS NOT NULL) AS failed
FROM git_ref_polls p
JOIN (
    SELECT f.account_id, count(*) AS refs
    FROM git_ref_polls f
    GROUP BY f.account_id
) AS o ON o.account_id = p.account_id
