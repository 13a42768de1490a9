-- name: prune_sync_requests
-- Forgets requests that are older than an hour: no caller repeats one for that long.
DELETE FROM sync_requests
WHERE created_at < now() - interval '1 hour'
