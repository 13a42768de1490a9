-- name: lock_git_account
-- Excludes everybody else from the account of the user $1 at the provider $2, whether or not there
-- is one, until the transaction ends: who links or unlinks it, and (share_git_account) who chooses a
-- budget for the user's refs. An advisory lock, since an account that is not there has no row.
SELECT pg_advisory_xact_lock(hashtextextended('git_account:' || $1::uuid || ':' || $2::text, 0))
