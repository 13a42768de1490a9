-- name: await_budgets
-- Notes that a person waits for what was just made due of the accounts $1, for the holders of
-- leases of their budgets. The caller has locked both.
UPDATE git_budgets b
SET interactive_since = now()
WHERE b.id = ANY (ARRAY(
        SELECT a.budget_id
        FROM git_accounts a
        WHERE a.id = ANY($1::uuid[])
            AND a.lane = 1
            AND a.next_due_at <= now()
    ))
    AND b.interactive_since IS NULL
