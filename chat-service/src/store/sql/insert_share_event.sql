-- name: insert_share_event
-- Records that the shares of the chat $1 changed, with $2, what policies read of it before
-- (former_chat): who could read it then and cannot now hears of it.
INSERT INTO change_events (chat_id, kind, former)
VALUES ($1, 'updated', $2)
