-- name: insert_sync_request
-- Notes that the request $1 took effect: a lease of the budgets $2, or a report with the answer $3.
-- The caller has found, under the request's lock, that it had not before.
INSERT INTO sync_requests (request_id, budget_ids, answer)
VALUES ($1, $2, $3)
