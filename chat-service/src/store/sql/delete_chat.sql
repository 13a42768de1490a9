-- name: delete_chat
-- Deletes the chat $1, which the transaction has locked with its polls, and with it its refs, their
-- polls and its shares, of which there are few; records the event with $2, the policy facts of the
-- chat until now (former_chat), so that its former readers are notified.
WITH event AS (
    INSERT INTO change_events (chat_id, kind, former)
    VALUES ($1, 'deleted', $2)
)
DELETE FROM chats
WHERE chats.id = $1
