-- name: count_due_refs
-- Of each lane that has refs planned: how many are due, how many have been for more than a minute,
-- and for how many seconds the oldest has been.
SELECT
    s.lane,
    count(*) FILTER (WHERE s.due_at <= now()) AS due,
    count(*) FILTER (WHERE s.due_at < now() - interval '1 minute') AS overdue,
    extract(epoch FROM now() - min(s.due_at) FILTER (WHERE s.due_at <= now()))::double precision
        AS oldest_seconds
FROM chat_diff_statuses s
WHERE s.due_at IS NOT NULL
GROUP BY s.lane
ORDER BY s.lane
