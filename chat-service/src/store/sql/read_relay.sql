-- name: read_relay
-- The generation of positions, the last one given, the last one forgotten, and for how many seconds
-- the first event without a position has waited for it; NULL when every event has one. And what
-- time it is.
SELECT
    r.generation,
    r.position,
    r.forgotten_position,
    clock_timestamp() AS as_of,
    (
        SELECT extract(epoch FROM clock_timestamp() - e.recorded_at)::float8
        FROM change_events e
        WHERE e.position IS NULL
        ORDER BY e.id
        LIMIT 1
    ) AS unplaced_seconds
FROM change_relay r
WHERE r.id
