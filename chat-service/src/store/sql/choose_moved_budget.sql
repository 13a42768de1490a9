-- name: choose_moved_budget
-- Which of the budgets $1 has no more than $2 refs, the first of these; no row when all have more. Looks at no
-- more of each.
SELECT b.id
FROM unnest($1::uuid[]) WITH ORDINALITY AS b (id, place)
WHERE NOT EXISTS (
    SELECT
    FROM chat_diff_statuses s
    WHERE s.budget_id = b.id
    OFFSET $2::bigint
)
ORDER BY b.place
LIMIT 1
