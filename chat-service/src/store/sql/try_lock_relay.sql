-- name: try_lock_relay
-- Whether this connection is the relay from now on, until it closes: $1 names the lock.
SELECT pg_try_advisory_lock($1) AS locked
