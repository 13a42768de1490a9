-- name: give_up_relay
-- Lets the epoch $1 expire, so that another process need not wait to be the relay.
UPDATE change_relay r
SET expires_at = clock_timestamp()
WHERE r.id AND r.epoch = $1
