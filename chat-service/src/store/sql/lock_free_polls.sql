-- name: lock_free_polls
-- Locks those of the refs $1, and of the polled refs of the chats $2, that no other transaction is
-- writing, in the order of their ids.
SELECT p.ref_id, p.account_id
FROM git_ref_polls p
WHERE p.ref_id = ANY($1::uuid[] || ARRAY(
        SELECT r.id
        FROM git_refs r
        WHERE r.chat_id = ANY($2::uuid[])
            AND (r.is_primary OR r.pull_request ->> 'state' = 'open')
    ))
ORDER BY p.ref_id
FOR NO KEY UPDATE SKIP LOCKED
