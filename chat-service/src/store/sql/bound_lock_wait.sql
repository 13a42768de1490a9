-- name: bound_lock_wait
-- Bounds by $1 how long each statement of this transaction waits for a lock.
SELECT set_config('lock_timeout', $1, TRUE)
