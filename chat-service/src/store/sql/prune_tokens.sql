-- name: prune_tokens
-- Forgets, of the tokens of the next $2 budgets after $1, those that were not used for a day. The
-- latest token of a budget is kept as long as an account has the budget: it may be linked again.
DELETE FROM git_tokens t
WHERE t.budget_id = ANY (ARRAY(
        SELECT b.id
        FROM git_budgets b
        WHERE b.id > $1
        ORDER BY b.id
        LIMIT $2
    ))
    AND t.used_at < now() - interval '1 day'
    AND (
        NOT EXISTS (SELECT FROM git_accounts a WHERE a.budget_id = t.budget_id)
        OR EXISTS (
            SELECT
            FROM git_tokens later
            WHERE later.budget_id = t.budget_id
                AND (later.used_at, later.token_key) > (t.used_at, t.token_key)
        )
    )
