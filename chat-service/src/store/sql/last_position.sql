-- name: last_position
-- The position of the last event that was placed; 0 when none was.
SELECT COALESCE(max(e.position), 0) AS position
FROM change_events e
