-- name: delete_unused_budgets
-- Forgets, of the budgets $1, which the caller has locked, those that still nobody has.
DELETE FROM git_budgets b
WHERE b.id = ANY($1::uuid[])
    AND (greatest(b.paused_until, b.rest_paused_until, b.graphql_paused_until) > now()) IS NOT TRUE
    AND (b.lease_expires_at > now()) IS NOT TRUE
    AND NOT EXISTS (SELECT FROM git_accounts a WHERE a.budget_id = b.id)
    AND NOT EXISTS (SELECT FROM chat_diff_statuses s WHERE s.budget_id = b.id)
