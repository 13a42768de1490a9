-- name: delete_unused_budgets
-- Forgets, of the budgets $1, which the caller has locked, those that are still unused.
DELETE FROM git_budgets b
WHERE b.id = ANY($1::uuid[])
    AND (b.paused_until > now()) IS NOT TRUE
    AND (b.lease_expires_at > now()) IS NOT TRUE
    AND NOT EXISTS (
        SELECT
        FROM jsonb_to_recordset(b.windows) AS w (paused_until timestamptz)
        WHERE w.paused_until > now()
    )
    AND NOT EXISTS (SELECT FROM git_accounts a WHERE a.budget_id = b.id)
    AND NOT EXISTS (SELECT FROM git_tokens t WHERE t.budget_id = b.id)
