-- name: list_credentials
-- The first $2 credentials of accounts after $1, by account, as they are sealed, with the host
-- whose rate limit they spend. The first part of a budget's key is that host.
SELECT
    c.account_id,
    c.key_id,
    c.access_token_sealed,
    c.refresh_token_sealed,
    split_part(b.budget_key, '|', 1) AS api_host
FROM git_credentials c
JOIN git_accounts a ON a.id = c.account_id
JOIN git_budgets b ON b.id = a.budget_id
WHERE c.account_id > $1
ORDER BY c.account_id
LIMIT $2
