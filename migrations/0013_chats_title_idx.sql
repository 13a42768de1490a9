-- no-transaction
-- For lists narrowed to a part of the title. Entries wait in a list that each search reads; a short
-- one keeps searches fast where the default of 4 MB would not.
CREATE INDEX CONCURRENTLY chats_title_idx ON chats USING gin (title_key gin_trgm_ops)
    WITH (gin_pending_list_limit = 256);
