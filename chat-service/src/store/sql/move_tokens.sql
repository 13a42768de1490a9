-- name: move_tokens
-- Remembers that the tokens of the budget $1 spend the budget $2.
UPDATE git_tokens t
SET budget_id = $2
WHERE t.budget_id = $1
