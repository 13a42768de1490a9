-- name: unlink_git_account
-- Leaves the account $1, which the caller has locked, without a credential, and so without a place
-- in the queue.
UPDATE git_accounts a
SET budget_id = NULL,
    former_budget_id = a.budget_id,
    credential_state = 'none',
    generation = a.generation + 1,
    refusals = 0,
    retry_at = NULL,
    usable_until = NULL,
    held_until = NULL,
    renewal_problem = NULL,
    unannounced = TRUE,
    requeue_denied = FALSE
WHERE a.id = $1
