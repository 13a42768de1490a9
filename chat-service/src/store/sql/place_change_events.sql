-- name: place_change_events
-- Gives up to $1 committed events their positions, in the order of their ids. Only the relay runs
-- it, one at a time: an event that commits later gets a later position, so a reader that goes by
-- positions skips nothing.
WITH unplaced AS MATERIALIZED (
    SELECT e.id
    FROM change_events e
    WHERE e.position IS NULL
    ORDER BY e.id
    LIMIT $1
),
numbered AS MATERIALIZED (
    SELECT
        u.id,
        nextval('change_positions') AS position
    FROM (SELECT id FROM unplaced ORDER BY id) u
)
UPDATE change_events e
SET position = n.position
FROM numbered n
WHERE e.id = n.id
RETURNING e.id
