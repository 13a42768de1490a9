-- name: list_hinted_refs
-- The first $2 refs of other accounts that follow the pull request of one of the refs $1, which
-- were seen to change, and know it otherwise than those do. Compares, and copies nothing: each is
-- looked up with its own account's credential, if there is one that the host takes. One that met a
-- problem keeps its next time. Looks at no more than $3 refs of a pull request, however many follow
-- it: the others have their own time. One that is due within 5 s needs no hint, unless its lookup
-- may be under way: then it is to be looked up again.
SELECT DISTINCT s.id
FROM (
    SELECT DISTINCT ON (f.provider_id, f.pr_host_id)
        f.account_id, f.provider_id, f.pr_host_id, f.pull_request
    FROM git_refs f
    WHERE f.id = ANY($1::uuid[])
        AND f.pr_host_id IS NOT NULL
    ORDER BY f.provider_id, f.pr_host_id, f.id
) AS seen
CROSS JOIN LATERAL (
    SELECT
        r.id, r.chat_id, r.account_id, r.is_primary, r.problem_class, r.pull_request
    FROM git_refs r
    WHERE r.provider_id = seen.provider_id
        AND r.pr_host_id = seen.pr_host_id
    LIMIT $3
) AS s
JOIN git_ref_polls p ON p.ref_id = s.id
JOIN git_accounts a ON a.id = s.account_id
JOIN git_budgets b ON b.id = a.budget_id
JOIN chats c ON c.id = s.chat_id
WHERE s.account_id <> seen.account_id
    AND s.problem_class IS NULL
    AND (s.is_primary OR s.pull_request ->> 'state' = 'open')
    AND s.pull_request <> seen.pull_request
    AND NOT c.archived
    AND a.credential_state = 'accepted'
    AND (
        (p.due_at <= now() + interval '5 seconds') IS NOT TRUE
        OR b.lease_expires_at > now()
    )
LIMIT $2
