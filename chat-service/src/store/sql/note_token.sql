-- name: note_token
-- Notes that the token $1, by its keyed hash, spends the budget with the key $2, and returns that:
-- an installation's, or the one that has this hash as its key. No row: no budget has it, since the
-- token's account is known.
INSERT INTO git_tokens AS t (token_key, budget_id)
SELECT $1::text, b.id
FROM git_budgets b
WHERE b.budget_key = $2::text
ON CONFLICT ON CONSTRAINT git_tokens_pkey DO UPDATE
SET used_at = now(),
    budget_id = CASE WHEN $1::text <> $2::text THEN excluded.budget_id ELSE t.budget_id END
RETURNING t.budget_id
