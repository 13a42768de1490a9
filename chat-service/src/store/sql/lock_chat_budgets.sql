-- name: lock_chat_budgets
-- Locks, in the order of their ids, the budgets of all refs of the chat $1, polled or not: an outcome
-- that is being written can make a ref a polled one. The caller shares the accounts
-- (share_chat_accounts): the refs stay where they are.
SELECT b.id
FROM git_budgets b
WHERE b.id IN (
    SELECT s.budget_id
    FROM chat_diff_statuses s
    WHERE s.chat_id = $1
)
ORDER BY b.id
FOR UPDATE
