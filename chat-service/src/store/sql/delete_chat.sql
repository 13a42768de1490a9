-- name: delete_chat
-- Deletes the chat $1, which the transaction has locked with its polls, and with it its refs, their
-- polls and its shares, of which there are few; and records the event with $2, what policies read of
-- the chat until now (former_chat), so that those who could read it hear of it.
WITH event AS (
    INSERT INTO change_events (chat_id, kind, former)
    VALUES ($1, 'deleted', $2)
)
DELETE FROM chats
WHERE chats.id = $1
