-- no-transaction
-- For lists of archived chats, which are far down in the list of all.
CREATE INDEX CONCURRENTLY chats_archived_idx ON chats (updated_at DESC, id DESC) WHERE archived;
