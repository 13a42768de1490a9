-- name: build_indexes
-- Builds what drop_indexes dropped, and leaves statistics and visibility as autovacuum would.
SET session_replication_role = origin;
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
VACUUM (ANALYZE) chat_diff_statuses;
VACUUM (ANALYZE) git_budgets;
CHECKPOINT;
