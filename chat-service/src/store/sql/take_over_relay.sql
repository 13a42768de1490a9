-- name: take_over_relay
-- Makes the process $1 the relay for $2 seconds, if it is the relay already or the last one's time
-- has expired, and returns its epoch; no row while another is. An expiry that is further away than
-- any that is written was written before the clock was set back: it counts as expired.
UPDATE change_relay r
SET holder = $1,
    epoch = r.epoch + 1,
    expires_at = clock_timestamp() + make_interval(secs => $2::float8)
WHERE r.id
    AND (
        r.holder = $1
        OR r.expires_at NOT BETWEEN
            clock_timestamp() AND clock_timestamp() + make_interval(secs => 2 * $2::float8)
    )
RETURNING r.epoch
