-- name: move_tokens
-- Notes that the tokens of the budgets $1 and $2, both of which the caller has locked, are those of the
-- budget $2 from now on: those noted before, and that whose key either is. The latest $3 are kept.
WITH known AS (
    SELECT t.token_key, t.noted_at
    FROM git_budget_tokens t
    WHERE t.budget_id IN ($1, $2)
    UNION ALL
    SELECT b.budget_key, now()
    FROM git_budgets b
    WHERE b.id IN ($1, $2)
        AND b.budget_key LIKE '%|token:%'
), kept AS (
    SELECT k.token_key, max(k.noted_at) AS noted_at
    FROM known k
    GROUP BY k.token_key
    ORDER BY 2 DESC, 1
    LIMIT $3
), forgotten AS (
    DELETE FROM git_budget_tokens t
    WHERE t.budget_id IN ($1, $2)
        AND t.token_key NOT IN (SELECT k.token_key FROM kept k)
)
INSERT INTO git_budget_tokens (token_key, budget_id, noted_at)
SELECT k.token_key, $2, k.noted_at
FROM kept k
ON CONFLICT (token_key) DO UPDATE
SET budget_id = excluded.budget_id,
    noted_at = excluded.noted_at
