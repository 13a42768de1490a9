INSERT INTO chat_diff_statuses (
    id, chat_id, owner_id, provider_id, git_remote_origin, repository_owner, repository_name,
    git_branch, budget_id, url, pull_request_state, pull_request_title, pr_number, pr_repository,
    pr_node_id, fingerprint, validator, unchanged_count, found_at, changed_at, pr_updated_at,
    base_interval_seconds, viewed_until, due_at, early_at
)
VALUES (
    '01900000-0000-7000-8000-000000000303', '01900000-0000-7000-8000-000000000001',
    '01900000-0000-7000-8000-0000000000a1', 'github', 'https://github.com/Acme/Web.git', 'Acme',
    'Web', 'agent/viewed', '01900000-0000-7000-8000-000000000104',
    'https://github.com/Acme/Web/pull/8', 'open', 'New work', 8, 'Acme/Web', 'PR_8', 'f1', 'W/"e1"',
    3, now(), now(), now(), 30, now() + interval '2 min', now() + interval '30 s',
    now() + interval '20 s'
);

DO $$
BEGIN
    ASSERT (
        SELECT unchanged_count = 0 AND fingerprint IS NULL AND viewed_until IS NULL
        FROM chat_diff_statuses
        WHERE id = '01900000-0000-7000-8000-000000000302'
    ), 'an older ref has nothing learned';
END
$$;
