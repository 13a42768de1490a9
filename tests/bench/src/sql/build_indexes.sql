-- name: build_indexes
-- Builds what drop_indexes dropped, and leaves statistics and visibility as autovacuum would.
SET session_replication_role = origin;
-- VACUUM marks no page as visible to all whose commits, or those of transactions around them, are
-- not on disk yet: index-only scans would go to the table for each row.
SET synchronous_commit = on;
SET maintenance_work_mem = '512MB';

DO $$
DECLARE
    definition text;
BEGIN
    FOR definition IN SELECT indexdef FROM bench_indexes LOOP
        EXECUTE definition;
    END LOOP;
END
$$;

DROP TABLE bench_indexes;
VACUUM (ANALYZE) chats;
VACUUM (ANALYZE) chat_acl;
VACUUM (ANALYZE) git_refs;
VACUUM (ANALYZE) git_ref_polls;
VACUUM (ANALYZE) git_accounts;
CHECKPOINT;
