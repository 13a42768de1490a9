-- name: list_diff_statuses
-- The git refs of the chats $1, which the caller was shown to read: of each chat the primary first,
-- then by last report.
SELECT
    s.id,
    s.chat_id,
    s.git_remote_origin,
    s.git_branch,
    s.provider_id,
    s.repository_owner || '/' || s.repository_name AS repository,
    s.is_primary,
    s.reported_at,
    s.url,
    s.pull_request_state,
    s.pull_request_title,
    s.pull_request_draft,
    s.changes_requested,
    s.additions,
    s.deletions,
    s.changed_files,
    s.head_branch,
    s.base_branch,
    s.head_sha,
    s.author_login,
    s.author_avatar_url,
    s.pr_number,
    s.commits,
    s.approved,
    s.reviewer_count,
    s.refreshed_at,
    CASE
        WHEN s.lease_token = b.lease_token AND b.lease_expires_at > now() THEN 'refreshing'
        WHEN s.due_at IS NOT NULL AND b.paused_until > now() THEN 'paused'
        WHEN s.due_at <= now() THEN 'due'
        WHEN s.problem_class IS NOT NULL THEN 'paused'
        ELSE 'fresh'
    END AS freshness,
    CASE WHEN s.due_at IS NULL THEN NULL ELSE greatest(s.due_at, b.paused_until) END
        AS next_refresh_at,
    s.problem_class,
    s.problem_since,
    s.problem_until,
    s.outcome_seq
FROM chat_diff_statuses s
JOIN git_budgets b ON b.id = s.budget_id
WHERE s.chat_id = ANY($1::uuid[])
ORDER BY s.chat_id, s.is_primary DESC, s.reported_at DESC, s.id DESC
