INSERT INTO git_budgets (id, budget_key, provider_id, next_due_at)
VALUES
    ('01900000-0000-7000-8000-000000000101', 'github.com/1', 'github', now()),
    ('01900000-0000-7000-8000-000000000102', 'github.com/user/2', 'github', NULL);

INSERT INTO git_budgets (
    id, budget_key, provider_id, next_due_at, paused_until,
    lease_token, lease_expires_at, lease_worker, lease_request_id,
    rest_limit, rest_remaining, rest_reset_at
)
VALUES (
    '01900000-0000-7000-8000-000000000103', 'github.com/3', 'github', now(), now() + interval '1 h',
    '01900000-0000-7000-8000-000000000113', now() + interval '1 min', 'worker-1',
    '01900000-0000-7000-8000-000000000123', 5000, 17, now() + interval '10 min'
);

INSERT INTO git_accounts (id, user_id, provider_id, budget_id, key_id, access_token_sealed, expires_at)
VALUES (
    '01900000-0000-7000-8000-000000000201', '01900000-0000-7000-8000-0000000000a1', 'github',
    '01900000-0000-7000-8000-000000000101', 'k1', '\x00010203', now() + interval '8 h'
);
