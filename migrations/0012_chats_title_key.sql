-- The title as it is searched: in lower case. Comparing without case folds both sides for each row,
-- which is most of what walking a list by title costs.
--
-- The column is computed by PostgreSQL, so writers know nothing of it. Adding it rewrites the table.

ALTER TABLE chats ADD COLUMN title_key text GENERATED ALWAYS AS (lower(title)) STORED;
-- Whether a search is by index or in list order is decided by how often the words match. With the usual
-- hundred samples, one chat of a hundred looks like one of ten thousand.
ALTER TABLE chats ALTER COLUMN title_key SET STATISTICS 500;
