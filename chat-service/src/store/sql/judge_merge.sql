-- name: judge_merge
-- Whether the budget $1 can be merged with the budget $2, both of which the caller has locked: it is a
-- token's key whose account is known, and neither is leased. `vacant`: nobody has the budget $2. Else the one
-- of both that is $3 goes: it has no more than $5 refs (`few`), and $4 accounts spend it, which the caller has
-- locked, too (`held`).
SELECT
    (
        token.budget_key LIKE '%|token:%'
        AND token.account_id IS NOT NULL
        AND (token.lease_expires_at > now()) IS NOT TRUE
        AND (account.lease_expires_at > now()) IS NOT TRUE
    ) IS TRUE AS possible,
    NOT EXISTS (SELECT FROM git_accounts a WHERE a.budget_id = account.id)
        AND NOT EXISTS (SELECT FROM chat_diff_statuses s WHERE s.budget_id = account.id) AS vacant,
    NOT EXISTS (
        SELECT FROM chat_diff_statuses s WHERE s.budget_id = $3::uuid OFFSET $5::bigint
    ) AS few,
    $4::bigint = (SELECT count(*) FROM git_accounts a WHERE a.budget_id = $3::uuid) AS held
FROM git_budgets token
CROSS JOIN git_budgets account
WHERE token.id = $1
    AND account.id = $2
