-- no-transaction
-- For lists of one owner's chats: those that are shared with a user or a group, in list order.
CREATE INDEX CONCURRENTLY chat_acl_owner_id_idx
    ON chat_acl (subject_kind, subject_id, owner_id, chat_updated_at DESC, chat_id DESC);
