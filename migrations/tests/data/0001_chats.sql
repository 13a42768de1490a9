INSERT INTO chats (id, owner_id, organization_id, workspace_id, title, status, labels, create_request_id)
VALUES
    ('01900000-0000-7000-8000-000000000001', '01900000-0000-7000-8000-0000000000a1',
     '01900000-0000-7000-8000-0000000000b1', '01900000-0000-7000-8000-0000000000c1',
     'Fix the flaky login test', 'waiting', '{"team": "web"}',
     '01900000-0000-7000-8000-0000000000d1'),
    ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-0000000000a2',
     NULL, NULL, 'Größenänderung 🙂', 'completed', '{}', NULL);

INSERT INTO chat_acl (chat_id, subject_kind, subject_id, level, chat_updated_at)
SELECT id, 'group', '01900000-0000-7000-8000-0000000000e1', 'writer', updated_at FROM chats;
