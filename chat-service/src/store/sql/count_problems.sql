-- name: count_problems
-- How many refs have which problem.
SELECT s.problem_class, count(*) AS refs
FROM chat_diff_statuses s
WHERE s.problem_class IS NOT NULL
GROUP BY s.problem_class
ORDER BY s.problem_class
