INSERT INTO chat_diff_statuses (
    id, chat_id, owner_id, provider_id, git_remote_origin, repository_owner, repository_name,
    git_branch, is_primary, budget_id, due_at, early_at
)
VALUES (
    '01900000-0000-7000-8000-000000000301', '01900000-0000-7000-8000-000000000001',
    '01900000-0000-7000-8000-0000000000a1', 'github', 'https://github.com/Acme/Web.git', 'Acme',
    'Web', 'agent/fix-login', true, '01900000-0000-7000-8000-000000000101',
    now(), now() - interval '30 s'
);

INSERT INTO chat_diff_statuses (
    id, chat_id, owner_id, provider_id, git_remote_origin, repository_owner, repository_name,
    git_branch, budget_id, url, pull_request_state, pull_request_title, additions, pr_number,
    pr_repository, approved, refreshed_at, problem_class, problem_since
)
VALUES (
    '01900000-0000-7000-8000-000000000302', '01900000-0000-7000-8000-000000000001',
    '01900000-0000-7000-8000-0000000000a1', 'github', 'https://github.com/Acme/Web.git', 'Acme',
    'Web', 'agent/old', '01900000-0000-7000-8000-000000000101',
    'https://github.com/Acme/Web/pull/7', 'merged', 'Old work', 12, 7, 'Acme/Web', true, now(),
    'rate_limited', now()
);
