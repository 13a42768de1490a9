-- name: move_primary_ref
-- Moves the primary ref of the chat $1, which the transaction has locked, to the chat's place in lists:
-- lists that are narrowed to pull requests are walked by the sort key that the ref carries.
UPDATE chat_diff_statuses s
SET chat_updated_at = c.updated_at
FROM chats c
WHERE c.id = $1
    AND s.chat_id = c.id
    AND s.is_primary
    AND s.chat_updated_at IS DISTINCT FROM c.updated_at
