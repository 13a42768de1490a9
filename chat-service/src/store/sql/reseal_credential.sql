-- name: reseal_credential
-- Replaces the sealed tokens of the account $1 by the same ones under the key $3 ($4 and $5), if its
-- access token is still sealed as $2: no two sealings are alike, so a token that was linked
-- meanwhile stays. Notes the token's hash $6 by that key. Returns the account if it was replaced.
WITH sealed AS (
    UPDATE git_credentials c
    SET key_id = $3,
        access_token_sealed = $4,
        refresh_token_sealed = $5
    WHERE c.account_id = $1
        AND c.access_token_sealed = $2
    RETURNING c.account_id
),
noted AS (
    INSERT INTO git_tokens (token_key, budget_id)
    SELECT $6::text, a.budget_id
    FROM sealed s
    JOIN git_accounts a ON a.id = s.account_id
    WHERE a.budget_id IS NOT NULL
    ON CONFLICT ON CONSTRAINT git_tokens_pkey DO NOTHING
)
SELECT s.account_id
FROM sealed s
