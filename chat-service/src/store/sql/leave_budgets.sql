-- name: leave_budgets
-- Keeps what is known of the tokens of the budgets $1 for another day: an account leaves them, and
-- may come back. Those that are in use at the moment are kept by that.
WITH locked AS MATERIALIZED (
    SELECT t.token_key
    FROM git_tokens t
    WHERE t.budget_id = ANY($1::uuid[])
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE git_tokens t
SET used_at = now()
FROM locked l
WHERE t.token_key = l.token_key
