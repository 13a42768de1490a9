-- name: drop_indexes
-- Remembers and drops every index that is no constraint: a million rows are inserted without them
-- in a quarter of the time, and built into them sorted, as a vacuumed table's are.
CREATE TABLE bench_indexes AS
SELECT i.indexname, i.indexdef
FROM pg_indexes i
JOIN pg_class c ON c.relname = i.indexname
JOIN pg_index x ON x.indexrelid = c.oid
WHERE i.schemaname = 'public'
    AND i.tablename IN ('chats', 'chat_acl', 'git_refs', 'git_ref_polls')
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid);

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT indexname FROM bench_indexes LOOP
        EXECUTE format('DROP INDEX %I', name);
    END LOOP;
END
$$;

-- Foreign keys are checked by triggers, row by row; the rows below are right by construction.
SET session_replication_role = replica;
