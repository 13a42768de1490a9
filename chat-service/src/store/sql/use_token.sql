-- name: use_token
-- Keeps what is known of the token $1, by its keyed hash, for another day, and returns the budget
-- that it spends, and whether an account has that. No row: the token is new.
UPDATE git_tokens t
SET used_at = now()
WHERE t.token_key = $1
RETURNING
    t.budget_id,
    EXISTS (SELECT FROM git_accounts a WHERE a.budget_id = t.budget_id) AS taken
