DO $$
BEGIN
    ASSERT (
        SELECT count(*) = 4 AND bool_and(a.owner_id = c.owner_id)
        FROM chat_acl a JOIN chats c ON c.id = a.chat_id
    ), 'every share has its chat''s owner';
    ASSERT (
        SELECT convalidated FROM pg_constraint WHERE conname = 'chat_acl_owner_id_check'
    ), 'and always will';
END
$$;
