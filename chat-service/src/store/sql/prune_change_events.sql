-- name: prune_change_events
-- Forgets up to $2 placed events that are older than $1 seconds.
DELETE FROM change_events
WHERE id IN (
    SELECT e.id
    FROM change_events e
    WHERE e.recorded_at < now() - make_interval(secs => $1)
        AND e.position IS NOT NULL
    ORDER BY e.recorded_at
    LIMIT $2
)
RETURNING id
