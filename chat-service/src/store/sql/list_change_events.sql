-- name: list_change_events
-- Up to $2 events after the position $1, in order.
SELECT
    e.position,
    e.chat_id,
    e.kind,
    e.former,
    e.recorded_at
FROM change_events e
WHERE e.position > $1
ORDER BY e.position
LIMIT $2
