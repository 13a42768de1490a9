-- name: count_problems
-- How many refs have which problem, each counted up to $1. One index entry for each problem that
-- there is, and for each ref that is counted. The condition is the index's.
WITH RECURSIVE problems AS (
    (
        SELECT s.problem_class
        FROM git_refs s
        WHERE s.problem_class > ''
        ORDER BY s.problem_class
        LIMIT 1
    )
    UNION ALL
    SELECT next.problem_class
    FROM problems p
    CROSS JOIN LATERAL (
        SELECT s.problem_class
        FROM git_refs s
        WHERE s.problem_class > ''
            AND s.problem_class > p.problem_class
        ORDER BY s.problem_class
        LIMIT 1
    ) AS next
)
SELECT p.problem_class, counted.refs
FROM problems p
CROSS JOIN LATERAL (
    SELECT count(*) AS refs
    FROM (
        SELECT s.problem_since
        FROM git_refs s
        WHERE s.problem_class > ''
            AND s.problem_class = p.problem_class
        ORDER BY s.problem_since
        LIMIT $1
    ) AS of_problem
) AS counted
ORDER BY p.problem_class
