-- name: find_sync_request
-- The budgets that the request $1 leased, or the answer to its report. No row: it has not taken
-- effect yet.
SELECT r.budget_ids, r.answer
FROM sync_requests r
WHERE r.request_id = $1
