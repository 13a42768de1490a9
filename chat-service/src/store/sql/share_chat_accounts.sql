-- name: share_chat_accounts
-- Keeps the accounts of the owner of the chat $1, at the providers of its refs, from being linked or
-- unlinked until the transaction ends: no ref of the chat changes its budget meanwhile. The caller
-- has locked the chat, so that no ref of another provider comes. See lock_git_account.
SELECT pg_advisory_xact_lock_shared(
    hashtextextended('git_account:' || account.owner_id || ':' || account.provider_id, 0)
)
FROM (
    SELECT DISTINCT s.owner_id, s.provider_id
    FROM chat_diff_statuses s
    WHERE s.chat_id = $1
    ORDER BY s.owner_id, s.provider_id
) AS account
