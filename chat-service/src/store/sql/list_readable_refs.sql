-- name: list_readable_refs
-- The refs of the same accounts in the same repositories as the refs $1, which were read again,
-- that still have a problem of the whole repository: at most $2. One whose pull request is in
-- another repository says nothing of its own: that may have been all that was read.
SELECT DISTINCT s.id
FROM git_refs r
JOIN git_refs s ON s.account_id = r.account_id AND s.repository_key = r.repository_key
WHERE r.id = ANY($1::uuid[])
    AND (lower(r.pr_repository) <> r.repository_key) IS NOT TRUE
    -- Of these repositories alone, and not by the index of all that have a problem.
    AND (
        s.problem_class IN (
            'access_denied', 'repository_not_found', 'repository_blocked', 'sso_required',
            'address_not_allowed'
        )
    ) IS TRUE
LIMIT $2
