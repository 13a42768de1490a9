-- name: insert_share_event
-- Records that the shares of the chat $1 changed; $2 says whom it was taken from.
INSERT INTO change_events (chat_id, kind, removed_subjects)
VALUES ($1, 'updated', $2)
