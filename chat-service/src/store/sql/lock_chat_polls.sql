-- name: lock_chat_polls
-- Locks the refs of the chats $1, which the caller has locked, so that none is added, in the order
-- of their ids.
SELECT p.ref_id
FROM git_ref_polls p
WHERE p.ref_id = ANY (ARRAY(
        SELECT r.id
        FROM git_refs r
        WHERE r.chat_id = ANY($1::uuid[])
    ))
ORDER BY p.ref_id
FOR NO KEY UPDATE
