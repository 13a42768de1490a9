-- name: insert_sync_request
-- Notes that the request $1 of the kind $2 takes effect. No row: it did before. Waits for a
-- transaction that notes the same request at the same time.
INSERT INTO sync_requests (request_id, kind)
VALUES ($1, $2)
ON CONFLICT (request_id) DO NOTHING
RETURNING request_id
