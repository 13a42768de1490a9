-- name: list_budgets_after
-- The $2 budgets after $1, and which of them are unused: neither an account nor a token that is
-- remembered has it. A paused or leased one is kept: the same account may come back, and the pause
-- holds for it.
SELECT
    b.id,
    (
        (b.paused_until > now()) IS NOT TRUE
        AND (b.lease_expires_at > now()) IS NOT TRUE
        AND NOT EXISTS (
            SELECT
            FROM jsonb_to_recordset(b.windows) AS w (paused_until timestamptz)
            WHERE w.paused_until > now()
        )
        AND NOT EXISTS (SELECT FROM git_accounts a WHERE a.budget_id = b.id)
        AND NOT EXISTS (SELECT FROM git_tokens t WHERE t.budget_id = b.id)
    ) AS unused
FROM git_budgets b
WHERE b.id > $1
ORDER BY b.id
LIMIT $2
