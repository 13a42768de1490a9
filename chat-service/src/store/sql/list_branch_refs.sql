-- name: list_branch_refs
-- The first $2 refs of the branches of the refs $1, of which another open pull request was found
-- than was known, that know a different one, and then those that know none: one branch has one open
-- pull request, for all its chats. Copies nothing: each is looked up with its own account's
-- credential, if there is one that the host takes. One that met a problem keeps its next time, and
-- one that knows a settled one has it by evidence of its own. What is being looked up in the same
-- turn is decided there. Looks at no more than $3 refs of a branch.
SELECT s.id
FROM (
    SELECT DISTINCT ON (f.provider_id, f.repository_key, f.git_branch)
        f.account_id, f.provider_id, f.repository_key, f.git_branch, f.pr_host_id,
        f.pull_request
    FROM git_refs f
    WHERE f.id = ANY($1::uuid[])
        AND f.pull_request ->> 'state' = 'open'
    ORDER BY f.provider_id, f.repository_key, f.git_branch, f.id
) AS seen
CROSS JOIN LATERAL (
    SELECT
        r.id, r.chat_id, r.provider_id, r.account_id, r.is_primary, r.problem_class,
        r.pull_request, r.pr_host_id
    FROM git_refs r
    WHERE r.repository_key = seen.repository_key
        AND r.git_branch = seen.git_branch
    ORDER BY r.id
    LIMIT $3
) AS s
JOIN git_ref_polls p ON p.ref_id = s.id
JOIN git_accounts a ON a.id = s.account_id
JOIN git_budgets b ON b.id = a.budget_id
JOIN chats c ON c.id = s.chat_id
WHERE s.provider_id = seen.provider_id
    AND s.id <> ALL($1::uuid[])
    AND s.problem_class IS NULL
    AND (s.is_primary OR s.pull_request ->> 'state' = 'open')
    AND coalesce(s.pull_request ->> 'state', 'open') = 'open'
    AND (
        s.pull_request -> 'number' IS DISTINCT FROM seen.pull_request -> 'number'
        OR s.pr_host_id <> seen.pr_host_id
    )
    AND NOT c.archived
    AND a.credential_state = 'accepted'
    AND (
        s.account_id = seen.account_id
        AND p.due_at <= now()
        AND b.lease_expires_at > now()
    ) IS NOT TRUE
ORDER BY s.pull_request IS NULL
LIMIT $2
