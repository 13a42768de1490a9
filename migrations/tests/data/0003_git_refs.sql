INSERT INTO git_refs (
    id, chat_id, account_id, provider_id, git_remote_origin, repository, git_branch, is_primary
)
VALUES (
    '00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000001',
    '00000000-0000-0000-0000-000000000003', 'github', 'https://github.com/acme/web', 'acme/web',
    'fix', true
);
INSERT INTO git_ref_polls (ref_id, account_id, due_at, early_at)
SELECT id, account_id, now(), now() FROM git_refs;
INSERT INTO git_ref_attentions (ref_id, kind, head_sha) SELECT id, 4, repeat('a', 40) FROM git_refs;
