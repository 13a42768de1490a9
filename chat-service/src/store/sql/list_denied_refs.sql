-- name: list_denied_refs
-- The refs of the account $1 whose last refresh failed because its credential would not do.
SELECT r.id
FROM git_refs r
WHERE r.account_id = $1
    -- Of the account's refs alone, and not by the index of all that have a problem.
    AND (
        r.problem_class IN (
            'no_account', 'access_denied', 'repository_not_found', 'sso_required',
            'address_not_allowed', 'internal'
        )
    ) IS TRUE
