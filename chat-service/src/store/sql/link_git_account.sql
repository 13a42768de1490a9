-- name: link_git_account
-- Has the account $1, which the caller has locked, spend the budget $2 with a new credential, which
-- can be renewed when it expires at $3. What the host thought of the former one is not this one's.
-- Watchers see nothing of one that replaces a credential that the host accepted.
UPDATE git_accounts a
SET budget_id = $2,
    former_budget_id = NULL,
    credential_state = 'accepted',
    generation = a.generation + 1,
    refusals = 0,
    retry_at = NULL,
    usable_until = $3::timestamptz - interval '1 minute',
    held_until = NULL,
    renewal_problem = NULL,
    unannounced = a.unannounced OR a.credential_state <> 'accepted',
    requeue_denied = TRUE
WHERE a.id = $1
