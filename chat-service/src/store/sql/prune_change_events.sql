-- name: prune_change_events
-- Forgets up to $2 placed events that are older than $1 seconds, notes the last position among
-- them, and returns how many they were. Two runs that overlap have the effect of one.
WITH gone AS (
    DELETE FROM change_events
    WHERE id IN (
        SELECT e.id
        FROM change_events e
        WHERE e.recorded_at < now() - make_interval(secs => $1)
            AND e.position IS NOT NULL
        ORDER BY e.recorded_at
        LIMIT $2
    )
    RETURNING position
), noted AS (
    UPDATE change_relay r
    SET forgotten_position = greatest(r.forgotten_position, g.position)
    FROM (SELECT max(position) AS position FROM gone) g
    WHERE r.id AND g.position IS NOT NULL
)
SELECT count(*) AS forgotten
FROM gone
