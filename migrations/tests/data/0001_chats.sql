INSERT INTO chats (id, owner_id, title, status)
VALUES ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-00000000000a', 'One', 'running');
INSERT INTO chat_acl (chat_id, subject_kind, subject_id, level, owner_id, chat_updated_at,
    chat_archived, chat_status, chat_pr, chat_attention)
SELECT id, 'user', '00000000-0000-0000-0000-00000000000b', 'reader', owner_id, updated_at, archived,
    list_status, list_pr, primary_attention FROM chats;
