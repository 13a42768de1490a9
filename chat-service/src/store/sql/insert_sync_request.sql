-- name: insert_sync_request
-- Notes that the request $1 of the kind $2 took effect, with its answer $3. The caller has found,
-- under the request's lock, that it had not before.
INSERT INTO sync_requests (request_id, kind, answer)
VALUES ($1, $2, $3)
