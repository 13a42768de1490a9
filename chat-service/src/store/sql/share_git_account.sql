-- name: share_git_account
-- Keeps the account of the user $1 at the provider $2 from being linked or unlinked until the
-- transaction ends. See lock_git_account.
SELECT pg_advisory_xact_lock_shared(
    hashtextextended('git_account:' || $1::uuid || ':' || $2::text, 0)
)
