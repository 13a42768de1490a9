-- no-transaction
-- For lists narrowed to what agents are doing: the chats of each status in list order.
CREATE INDEX CONCURRENTLY chats_status_idx ON chats (status, updated_at DESC, id DESC);
