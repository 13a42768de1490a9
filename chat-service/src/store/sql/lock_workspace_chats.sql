-- name: lock_workspace_chats
-- Locks those of the chats $3 that are unarchived chats of the owner $1 in the workspace $2 for
-- which the caller may report a git ref, in the order of their ids. No other is locked or waited
-- for.
SELECT c.id
FROM chats c
WHERE c.id = ANY($3::uuid[])
    AND c.owner_id = $1
    AND c.workspace_id = $2
    AND NOT c.archived
    AND (/* allowed */ TRUE)
ORDER BY c.id
FOR NO KEY UPDATE
