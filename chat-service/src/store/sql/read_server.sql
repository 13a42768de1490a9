-- name: read_server
-- Which server this is, and on which timeline. Either is another one after a failover or a restore;
-- a role that may not ask gets an error.
SELECT concat_ws('/', s.system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8)) AS server
FROM pg_control_system() s
