-- no-transaction
-- For lists narrowed to a repository: its chats in list order.
CREATE INDEX CONCURRENTLY chat_diff_statuses_repository_idx
    ON chat_diff_statuses (repository_key, chat_updated_at DESC, chat_id DESC)
    WHERE is_primary;
