-- name: answer_sync_request
-- Keeps the answer $2 to the request $1, in the transaction that applied it.
UPDATE sync_requests
SET answer = $2
WHERE request_id = $1
