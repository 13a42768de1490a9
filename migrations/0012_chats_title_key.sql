-- The title as it is searched: in lower case. Comparing without case folds both sides for each row,
-- which is most of what walking a list by title costs.
--
-- The column is computed by PostgreSQL, so writers know nothing of it. Adding it rewrites the table.

ALTER TABLE chats ADD COLUMN title_key text GENERATED ALWAYS AS (lower(title)) STORED;
