-- name: note_token
-- Notes that the token $1, by its keyed hash, spends the budget that has this hash as its key, and
-- returns that. No row: no budget has it, since the token's account is known.
INSERT INTO git_tokens AS t (token_key, budget_id)
SELECT b.budget_key, b.id
FROM git_budgets b
WHERE b.budget_key = $1
ON CONFLICT ON CONSTRAINT git_tokens_pkey DO UPDATE
SET used_at = now()
RETURNING t.budget_id
