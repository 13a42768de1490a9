-- name: list_workspace_chats
-- At most $3 unarchived chats of the owner $1 in the workspace $2 for which the caller may report a
-- git ref, in the order of their ids.
SELECT c.id
FROM chats c
WHERE c.owner_id = $1
    AND c.workspace_id = $2
    AND NOT c.archived
    AND (/* allowed */ TRUE)
ORDER BY c.id
LIMIT $3
