-- name: begin_generation
-- Begins another generation of positions after $1, once however many processes ask; after any if $1
-- is NULL.
UPDATE change_relay r
SET generation = gen_random_uuid()
WHERE r.id AND r.generation = coalesce($1, r.generation)
RETURNING r.generation
