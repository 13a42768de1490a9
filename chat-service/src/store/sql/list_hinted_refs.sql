-- name: list_hinted_refs
-- The first $2 refs of other owners that follow the pull request of one of the refs $1, which were seen
-- to change, and know it otherwise than those do, with their budgets. Compares, and copies nothing:
-- each is looked up with its own owner's credential, if there is one that the host takes. One that
-- met a problem keeps its next time. Looks at no more than $3 refs of a pull request, however many
-- follow it: the others have their own time.
SELECT DISTINCT s.id, s.budget_id
FROM (
    SELECT DISTINCT ON (f.provider_id, f.pr_node_id)
        f.owner_id, f.provider_id, f.pr_node_id, f.pull_request_state, f.pull_request_title,
        f.pull_request_draft, f.changes_requested, f.additions, f.deletions, f.changed_files,
        f.head_branch, f.base_branch, f.head_sha, f.commits, f.approved, f.reviewer_count
    FROM chat_diff_statuses f
    WHERE f.id = ANY($1::uuid[])
        AND f.pr_node_id IS NOT NULL
    ORDER BY f.provider_id, f.pr_node_id, f.id
) AS seen
CROSS JOIN LATERAL (
    SELECT
        r.id, r.chat_id, r.owner_id, r.provider_id, r.budget_id, r.is_primary, r.due_at,
        r.problem_class, r.pull_request_state, r.pull_request_title, r.pull_request_draft,
        r.changes_requested, r.additions, r.deletions, r.changed_files, r.head_branch,
        r.base_branch, r.head_sha, r.commits, r.approved, r.reviewer_count
    FROM chat_diff_statuses r
    WHERE r.provider_id = seen.provider_id
        AND r.pr_node_id = seen.pr_node_id
    LIMIT $3
) AS s
JOIN git_accounts a ON a.user_id = s.owner_id AND a.provider_id = s.provider_id
JOIN chats c ON c.id = s.chat_id
WHERE s.owner_id <> seen.owner_id
    AND s.problem_class IS NULL
    AND (s.is_primary OR s.pull_request_state = 'open')
    AND NOT c.archived
    AND a.credential_state = 'accepted'
    AND (s.due_at > now() + interval '5 seconds' OR s.due_at IS NULL)
    AND (
        s.pull_request_state, s.pull_request_title, s.pull_request_draft, s.changes_requested,
        s.additions, s.deletions, s.changed_files, s.head_branch, s.base_branch, s.head_sha,
        s.commits, s.approved, s.reviewer_count
    ) IS DISTINCT FROM (
        seen.pull_request_state, seen.pull_request_title, seen.pull_request_draft,
        seen.changes_requested, seen.additions, seen.deletions, seen.changed_files,
        seen.head_branch, seen.base_branch, seen.head_sha, seen.commits, seen.approved,
        seen.reviewer_count
    )
LIMIT $2
