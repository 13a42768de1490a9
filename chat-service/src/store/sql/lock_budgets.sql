-- name: lock_budgets
-- Locks, in the order of their ids, the budget of the key $1 and those in which refs of the user $2
-- at the provider $3 wait.
SELECT b.id, b.budget_key
FROM git_budgets b
WHERE b.budget_key = $1
    OR b.id IN (
        SELECT s.budget_id
        FROM chat_diff_statuses s
        WHERE s.owner_id = $2
            AND s.provider_id = $3
    )
ORDER BY b.id
FOR UPDATE
