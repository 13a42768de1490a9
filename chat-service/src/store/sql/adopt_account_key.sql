-- name: adopt_account_key
-- Gives the budget $1 the key $2 of its account: it is a token's key whose account is known, no lease
-- holds it, and there is no budget of that key yet. Refs and accounts stay with it, so nothing else
-- need be locked. Which token's it was is noted, for whoever links that again.
WITH adopted AS (
    UPDATE git_budgets b
    SET budget_key = $2
    FROM git_budgets former
    WHERE b.id = $1
        AND former.id = b.id
        AND b.budget_key LIKE '%|token:%'
        AND b.account_id IS NOT NULL
        AND (b.lease_expires_at > now()) IS NOT TRUE
        AND NOT EXISTS (SELECT FROM git_budgets a WHERE a.budget_key = $2)
    RETURNING b.id, former.budget_key
)
INSERT INTO git_budget_tokens (token_key, budget_id)
SELECT a.budget_key, a.id
FROM adopted a
ON CONFLICT (token_key) DO UPDATE
SET budget_id = excluded.budget_id,
    noted_at = now()
RETURNING budget_id AS id
