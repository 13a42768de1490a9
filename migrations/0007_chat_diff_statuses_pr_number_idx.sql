-- no-transaction
-- For lists narrowed to the number of a pull request: its chats in list order.
CREATE INDEX CONCURRENTLY chat_diff_statuses_pr_number_idx
    ON chat_diff_statuses (pr_number, chat_updated_at DESC, chat_id DESC)
    WHERE is_primary AND pr_number IS NOT NULL;
