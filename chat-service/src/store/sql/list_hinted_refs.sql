-- name: list_hinted_refs
-- The first $2 refs of other owners that follow the pull request of one of the refs $1, which were seen
-- to change, and know it otherwise than those do, with their budgets. Compares, and copies nothing:
-- each is looked up with its own owner's credential, if there is one that the host takes. One that
-- met a problem keeps its next time.
SELECT DISTINCT s.id, s.budget_id
FROM chat_diff_statuses seen
JOIN chat_diff_statuses s ON s.provider_id = seen.provider_id AND s.pr_node_id = seen.pr_node_id
JOIN git_accounts a ON a.user_id = s.owner_id AND a.provider_id = s.provider_id
JOIN chats c ON c.id = s.chat_id
WHERE seen.id = ANY($1::uuid[])
    AND s.owner_id <> seen.owner_id
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
