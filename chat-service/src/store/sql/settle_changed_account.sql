-- name: settle_changed_account
-- Notes that the account $1 was announced as in the state $2, and its denied refs were made due for
-- the generation $3 of its credential. What has changed since is left to be done.
UPDATE git_accounts a
SET unannounced = a.unannounced AND (a.credential_state, a.generation) <> ($2, $3),
    requeue_denied = a.requeue_denied AND a.generation <> $3
WHERE a.id = $1
