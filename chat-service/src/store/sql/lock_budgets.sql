-- name: lock_budgets
-- Locks, in the order of their ids, the budget $1, that of the account of the user $2 at the provider
-- $3, and those in which the user's refs there wait.
SELECT b.id
FROM git_budgets b
WHERE b.id IN (
    SELECT $1::uuid
    UNION
    SELECT a.budget_id
    FROM git_accounts a
    WHERE a.user_id = $2
        AND a.provider_id = $3
    UNION
    SELECT s.budget_id
    FROM chat_diff_statuses s
    WHERE s.owner_id = $2
        AND s.provider_id = $3
)
ORDER BY b.id
FOR UPDATE
