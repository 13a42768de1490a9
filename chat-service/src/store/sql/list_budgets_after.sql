-- name: list_budgets_after
-- The $2 budgets after $1, and which of them nobody has: neither an account nor a ref. A paused or
-- leased one is kept: the same account may come back, and the pause holds for it.
SELECT
    b.id,
    (
        (greatest(b.paused_until, b.rest_paused_until, b.graphql_paused_until) > now()) IS NOT TRUE
        AND (b.lease_expires_at > now()) IS NOT TRUE
        AND NOT EXISTS (SELECT FROM git_accounts a WHERE a.budget_id = b.id)
        AND NOT EXISTS (SELECT FROM chat_diff_statuses s WHERE s.budget_id = b.id)
    ) AS unused
FROM git_budgets b
WHERE b.id > $1
ORDER BY b.id
LIMIT $2
