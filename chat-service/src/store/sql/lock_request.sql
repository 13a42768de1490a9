-- name: lock_request
-- Lets one call at a time act for the request $1, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 0))
