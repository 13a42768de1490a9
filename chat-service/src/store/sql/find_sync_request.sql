-- name: find_sync_request
-- What the request $1 leased, or else what it reported was answered, if it took effect before.
SELECT r.budget_ids, r.answer
FROM sync_requests r
WHERE r.request_id = $1
