-- As a pod of the release before shares.
INSERT INTO chat_acl (chat_id, subject_kind, subject_id, level, chat_updated_at)
SELECT id, 'user', '01900000-0000-7000-8000-0000000000a3', 'reader', updated_at FROM chats;

DO $$
BEGIN
    ASSERT (
        SELECT bool_and((a.owner_id IS NULL) = (a.subject_kind = 'group'))
        FROM chat_acl a
    ), 'new shares have an owner, older ones have none yet';
    ASSERT (
        SELECT bool_and(a.owner_id = c.owner_id)
        FROM chat_acl a JOIN chats c ON c.id = a.chat_id
        WHERE a.subject_kind = 'user'
    ), 'it is the chat''s';
END
$$;

-- As one of them moves a sort key.
UPDATE chat_acl SET chat_updated_at = chat_updated_at
WHERE chat_id = '01900000-0000-7000-8000-000000000001';

DO $$
BEGIN
    ASSERT (SELECT count(*) FROM chat_acl WHERE owner_id IS NULL) = 1, 'one is left';
END
$$;
