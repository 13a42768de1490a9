-- name: move_accounts
-- Has those of the accounts $3, which the caller has locked, that spend the budget $1 spend the
-- budget $2: both are the same spender's. Their refs go along, since they are found through them.
UPDATE git_accounts a
SET budget_id = $2
WHERE a.budget_id = $1
    AND a.id = ANY($3::uuid[])
