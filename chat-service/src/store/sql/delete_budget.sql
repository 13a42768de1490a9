-- name: delete_budget
-- Forgets the budget $1, which was merged with another.
DELETE FROM git_budgets
WHERE id = $1
