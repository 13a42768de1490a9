-- no-transaction
-- For lists narrowed to labels; only pairs of key and value are asked for. As for the pending list:
-- see chats_title_idx.
CREATE INDEX CONCURRENTLY chats_labels_idx ON chats USING gin (labels jsonb_path_ops)
    WITH (gin_pending_list_limit = 256);
