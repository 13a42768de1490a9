-- name: lock_viewed_polls
-- Locks the polled refs of the chats $1, in the order of their ids, but for those that are being
-- written: a view is noted again in a minute.
SELECT p.ref_id
FROM git_ref_polls p
WHERE p.ref_id = ANY (ARRAY(
        SELECT r.id
        FROM git_refs r
        WHERE r.chat_id = ANY($1::uuid[])
            AND (r.is_primary OR r.pull_request ->> 'state' = 'open')
    ))
ORDER BY p.ref_id
FOR NO KEY UPDATE SKIP LOCKED
