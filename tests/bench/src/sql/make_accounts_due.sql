-- name: make_accounts_due
-- Plans the accounts and the budgets of refs that were filled in.
WITH accounts AS (
    UPDATE git_accounts a
    SET next_due_at = now(),
        lane = 4
    FROM (SELECT DISTINCT p.account_id FROM git_ref_polls p WHERE p.due_at IS NOT NULL) AS d
    WHERE a.id = d.account_id
)
UPDATE git_budgets b
SET queue_at = now(),
    lane = 4
