-- name: list_changed_accounts
-- The first $1 accounts whose credential changed and that are still to be announced, or whose
-- denied refs are still to be made due.
SELECT a.id, a.credential_state, a.generation, a.unannounced, a.requeue_denied
FROM git_accounts a
WHERE a.unannounced OR a.requeue_denied
ORDER BY a.id
LIMIT $1
