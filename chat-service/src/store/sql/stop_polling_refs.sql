-- name: stop_polling_refs
-- Plans nothing more for the refs $1 of a chat that was archived. The caller has locked them.
UPDATE git_ref_polls p
SET due_at = NULL,
    early_at = NULL
WHERE p.ref_id = ANY($1::uuid[])
    AND p.due_at IS NOT NULL
