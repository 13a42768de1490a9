-- name: count_due_refs
-- Of each lane that has refs planned: how many are due, how many have been for more than a minute,
-- each counted up to $1, and for how many seconds the oldest has been. The cast is the index's.
SELECT
    lanes.lane::smallint AS lane,
    due.refs AS due,
    overdue.refs AS overdue,
    extract(epoch FROM now() - due.oldest)::double precision AS oldest_seconds
FROM generate_series(1, 4) AS lanes (lane)
CROSS JOIN LATERAL (
    SELECT count(*) AS refs, min(of_lane.due_at) AS oldest
    FROM (
        SELECT s.due_at
        FROM chat_diff_statuses s
        WHERE s.lane::integer = lanes.lane
            AND s.due_at <= now()
        ORDER BY s.due_at
        LIMIT $1
    ) AS of_lane
) AS due
CROSS JOIN LATERAL (
    SELECT count(*) AS refs
    FROM (
        SELECT s.due_at
        FROM chat_diff_statuses s
        WHERE s.lane::integer = lanes.lane
            AND s.due_at < now() - interval '1 minute'
        ORDER BY s.due_at
        LIMIT $1
    ) AS of_lane
) AS overdue
WHERE EXISTS (
    SELECT
    FROM chat_diff_statuses s
    WHERE s.lane::integer = lanes.lane
        AND s.due_at IS NOT NULL
)
ORDER BY lanes.lane
