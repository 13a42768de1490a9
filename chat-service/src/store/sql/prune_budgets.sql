-- name: prune_budgets
-- Forgets, of the $2 budgets after $1, those that are unused: neither an account nor a token that
-- is remembered has it. A paused or leased one is kept: the same account may come back, and the
-- pause holds for it; so is one that is paused or leased while this statement waits for its row,
-- since the conditions stand where they are asked again. Returns the last of the $2; no row when
-- there are fewer. An account or a token that is given one of them meanwhile fails its foreign key
-- or has this statement fail by it: both may be tried again.
WITH batch AS MATERIALIZED (
    SELECT b.id
    FROM git_budgets b
    WHERE b.id > $1
    ORDER BY b.id
    LIMIT $2
), gone AS (
    DELETE FROM git_budgets b
    WHERE b.id = ANY (ARRAY(SELECT x.id FROM batch x))
        AND (b.paused_until > now()) IS NOT TRUE
        AND (b.lease_expires_at > now()) IS NOT TRUE
        AND NOT EXISTS (
            SELECT
            FROM jsonb_to_recordset(b.windows) AS w (paused_until timestamptz)
            WHERE w.paused_until > now()
        )
        AND NOT EXISTS (SELECT FROM git_accounts a WHERE a.budget_id = b.id)
        AND NOT EXISTS (SELECT FROM git_tokens t WHERE t.budget_id = b.id)
)
SELECT x.id
FROM batch x
ORDER BY x.id
OFFSET $2::bigint - 1
