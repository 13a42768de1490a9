-- name: lock_budgets
-- Locks the budgets $1 and those of the accounts $2, which the caller has locked, in the order of
-- their ids. It is the last lock of a transaction, and is held for one round trip.
SELECT b.id
FROM git_budgets b
WHERE b.id = ANY($1::uuid[] || ARRAY(
        SELECT a.budget_id
        FROM git_accounts a
        WHERE a.id = ANY($2::uuid[])
            AND a.budget_id IS NOT NULL
    ))
ORDER BY b.id
FOR NO KEY UPDATE
