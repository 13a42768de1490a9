-- name: reseal_credentials
-- Replaces the sealed tokens of the accounts $2 by the same ones under the key $1 ($4 and $5),
-- where the access token is still sealed as $3: no two sealings are alike, so a token that was
-- linked or renewed meanwhile stays. So does one that a transaction writes at the moment: the next
-- pass finds it. Notes the tokens' hashes $6 by that key. Returns the accounts that were replaced.
WITH anew AS MATERIALIZED (
    SELECT n.account_id, n.access, n.refresh, n.token_key
    FROM unnest($2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[], $6::text[])
        AS n (account_id, former, access, refresh, token_key)
    JOIN git_credentials c ON c.account_id = n.account_id AND c.access_token_sealed = n.former
    FOR NO KEY UPDATE OF c SKIP LOCKED
), sealed AS (
    UPDATE git_credentials c
    SET key_id = $1,
        access_token_sealed = n.access,
        refresh_token_sealed = n.refresh
    FROM anew n
    WHERE c.account_id = n.account_id
    RETURNING c.account_id, n.token_key
), noted AS (
    INSERT INTO git_tokens (token_key, budget_id)
    SELECT DISTINCT ON (s.token_key) s.token_key, a.budget_id
    FROM sealed s
    JOIN git_accounts a ON a.id = s.account_id
    WHERE a.budget_id IS NOT NULL
    ORDER BY s.token_key, a.id
    ON CONFLICT ON CONSTRAINT git_tokens_pkey DO NOTHING
)
SELECT s.account_id
FROM sealed s
