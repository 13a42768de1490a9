-- no-transaction
-- For lists narrowed to where pull requests stand: the chats of each state in list order, which holds
-- for a state of three chats in a million as for one of half of them.
CREATE INDEX CONCURRENTLY chat_diff_statuses_state_idx
    ON chat_diff_statuses (
        pull_request_state, pull_request_draft, chat_updated_at DESC, chat_id DESC
    )
    WHERE is_primary AND pull_request_state IS NOT NULL;
