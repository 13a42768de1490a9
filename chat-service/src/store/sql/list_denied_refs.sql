-- name: list_denied_refs
-- The refs of the account $1 whose last refresh failed because its credential would not do. Reads
-- those that have a problem, by an index of their own: an account may have very many that have
-- none.
SELECT r.id
FROM git_refs r
WHERE r.account_id = $1
    AND octet_length(r.problem_class) > 0
    AND (
        r.problem_class IN (
            'no_account', 'access_denied', 'repository_not_found', 'sso_required',
            'address_not_allowed', 'internal'
        )
    ) IS TRUE
