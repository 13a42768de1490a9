-- name: list_chat_accounts
-- The accounts that look up the refs of the chats $1, which the caller has locked, so that none is
-- added.
SELECT DISTINCT r.account_id AS id
FROM git_refs r
WHERE r.chat_id = ANY($1::uuid[])
