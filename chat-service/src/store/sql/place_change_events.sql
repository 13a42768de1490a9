-- name: place_change_events
-- Gives up to $5 committed events their positions, in the order of their ids, and notifies the
-- channel $4 once. Extends the epoch $1 by $2 seconds from now; no row, and nothing placed, when it
-- has expired or another began. $3 is the server and its timeline, NULL if not known: on another
-- one than before, positions may have gone back, and a new generation begins.
--
-- The update of the relay's row locks it and checks the epoch under that lock: placements follow
-- one another, so an event that commits later gets a later position, and a reader that goes by
-- positions skips none. Of two placements that overlap, the second skips what the first has placed,
-- which leaves a gap in the positions. That check is not written as IS NULL: PostgreSQL would use
-- the index of unplaced events for it, and walk all of them once for each one that it places.
WITH unplaced AS MATERIALIZED (
    SELECT e.id
    FROM change_events e
    WHERE e.position IS NULL
    ORDER BY e.id
    LIMIT $5
), relay AS (
    UPDATE change_relay r
    SET position = r.position + (SELECT count(*) FROM unplaced),
        expires_at = clock_timestamp() + make_interval(secs => $2),
        generation = CASE WHEN r.server <> $3 THEN gen_random_uuid() ELSE r.generation END,
        server = coalesce($3, r.server)
    WHERE r.id AND r.epoch = $1 AND r.expires_at > clock_timestamp()
    RETURNING r.position
), placed AS (
    UPDATE change_events e
    SET position = n.position
    FROM (
        SELECT u.id, r.position + 1 - row_number() OVER (ORDER BY u.id DESC) AS position
        FROM relay r
        CROSS JOIN unplaced u
    ) n
    WHERE e.id = n.id AND coalesce(e.position, 0) = 0
    RETURNING e.id
)
SELECT
    p.placed,
    CASE WHEN p.placed > 0 THEN pg_notify($4, '') END AS notified
FROM relay r
CROSS JOIN (SELECT count(*) AS placed FROM placed) p
