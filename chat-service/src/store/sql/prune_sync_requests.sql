-- name: prune_sync_requests
-- Forgets up to $1 requests that are older than an hour: no caller repeats one for that long.
DELETE FROM sync_requests
WHERE request_id IN (
    SELECT r.request_id
    FROM sync_requests r
    WHERE r.created_at < now() - interval '1 hour'
    ORDER BY r.created_at
    LIMIT $1
)
RETURNING request_id
