-- name: insert_status_events
-- Records that what is shown of the refs of the chats $1 changed.
INSERT INTO change_events (chat_id, kind)
SELECT c.id, 'diff_status_changed'
FROM unnest($1::uuid[]) AS c (id)
