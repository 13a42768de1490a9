-- name: insert_share_event
-- Records that the shares of the chat $1 changed, with $2, its policy facts before the change
-- (former_chat): readers who lost access are notified.
INSERT INTO change_events (chat_id, kind, former)
VALUES ($1, 'updated', $2)
