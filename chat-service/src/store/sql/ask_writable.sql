-- name: ask_writable
-- Whether this server takes writes: a standby does not, and neither does one that was demoted or
-- whose disk is full.
SELECT NOT (pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean) AS writable
