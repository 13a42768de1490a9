-- name: build_indexes
-- Builds what drop_indexes dropped, and leaves statistics and visibility as autovacuum would.
SET session_replication_role = origin;
-- VACUUM marks no page as visible to all whose commits, or those of transactions around them, are not
-- on disk yet: index-only scans would go to the table for each row.
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

-- Rows of a commit whose record is not on disk yet, or of one whose neighbours' is not, cannot be marked
-- as visible to all: a page of shares would look up every row in the table, in some runs and not in others.
SET synchronous_commit = on;
DROP TABLE bench_indexes;
VACUUM (ANALYZE) chats;
VACUUM (ANALYZE) chat_acl;
VACUUM (ANALYZE) chat_diff_statuses;
VACUUM (ANALYZE) git_budgets;
CHECKPOINT;
