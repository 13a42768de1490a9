INSERT INTO git_budgets (id, provider_id, budget_key)
VALUES ('00000000-0000-0000-0000-000000000002', 'github', 'github|token:1');
INSERT INTO git_accounts (id, user_id, provider_id, budget_id, credential_state, generation)
VALUES (
    '00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-00000000000a', 'github',
    '00000000-0000-0000-0000-000000000002', 'accepted', 1
);
INSERT INTO git_credentials (account_id, key_id, access_token_sealed)
VALUES ('00000000-0000-0000-0000-000000000003', 'key', '\x00');
INSERT INTO git_tokens (token_key, budget_id)
VALUES ('github|token:1', '00000000-0000-0000-0000-000000000002');
