-- name: observe_credentials
-- Notes what the host thinks of the credentials $2 (a JSON array) of accounts that spend the budget
-- of the lease $1; the caller has locked the accounts, and proves the lease afterwards. An
-- observation of a token that was replaced since teaches nothing. A rejected one has no budget, and
-- so no place in the queue, until another is linked. Returns the accounts whose state changed.
WITH observed AS MATERIALIZED (
    SELECT a.id, a.credential_state AS former, o.state, o.confirm_seconds
    FROM jsonb_to_recordset($2::jsonb) AS o (
        id uuid, generation bigint, state text, confirm_seconds double precision
    )
    JOIN git_accounts a ON a.id = o.id AND a.generation = o.generation
    JOIN git_budgets b ON b.id = a.budget_id
    WHERE b.lease_token = $1
        AND (a.credential_state <> o.state OR o.state = 'suspect')
)
UPDATE git_accounts a
SET credential_state = o.state,
    budget_id = CASE WHEN o.state <> 'rejected' THEN a.budget_id END,
    former_budget_id = CASE WHEN o.state = 'rejected' THEN a.budget_id END,
    unannounced = a.unannounced OR o.former <> o.state,
    retry_at = CASE
        WHEN o.state = 'suspect' THEN now() + make_interval(secs => o.confirm_seconds)
    END
FROM observed o
WHERE a.id = o.id
RETURNING a.id, o.former <> o.state AS changed
