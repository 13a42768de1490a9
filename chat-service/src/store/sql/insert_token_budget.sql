-- name: insert_token_budget
-- Makes the budget $1 at the provider $2 with the key $4: that of the token of which nothing is
-- known, by its keyed hash $3, or that of an installation.
INSERT INTO git_budgets (id, provider_id, budget_key)
SELECT $1::uuid, $2::text, $4::text
WHERE $3::text <> $4::text
    OR NOT EXISTS (SELECT FROM git_tokens t WHERE t.token_key = $3::text)
ON CONFLICT ON CONSTRAINT git_budgets_budget_key_key DO NOTHING
