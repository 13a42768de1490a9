-- name: carry_token
-- Notes that the token with the hash $1 spends the budget that it is known to spend by one of its
-- hashes $2, which are by other keys of the ring, so that a rotation of the ring splits no budget.
INSERT INTO git_tokens (token_key, budget_id)
SELECT $1::text, t.budget_id
FROM git_tokens t
WHERE t.token_key = ANY($2::text[])
ORDER BY t.used_at DESC, t.token_key
LIMIT 1
ON CONFLICT ON CONSTRAINT git_tokens_pkey DO NOTHING
