-- name: list_planned_chats
-- The chats in which the state of the account $1 shows: those with a planned ref of it.
SELECT DISTINCT r.chat_id AS id
FROM git_ref_polls p
JOIN git_refs r ON r.id = p.ref_id
WHERE p.account_id = $1
    AND p.due_at IS NOT NULL
