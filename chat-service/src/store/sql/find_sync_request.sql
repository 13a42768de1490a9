-- name: find_sync_request
-- What the request $1 was, and its answer, if it took effect before.
SELECT r.kind, r.answer
FROM sync_requests r
WHERE r.request_id = $1
