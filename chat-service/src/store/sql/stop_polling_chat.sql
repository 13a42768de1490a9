-- name: stop_polling_chat
-- Plans nothing more for the refs of the chat $1, which was archived. The caller has locked them.
UPDATE git_ref_polls p
SET due_at = NULL,
    early_at = NULL
FROM git_refs r
WHERE r.chat_id = $1
    AND p.ref_id = r.id
    AND p.due_at IS NOT NULL
