-- The chat's sort key on its primary ref. Written by chat-service only.
--
-- Lists that are narrowed to pull requests walk the primary refs in list order, so that a page is one
-- ordered range scan however many chats match. Whoever makes a ref the primary, or moves the chat's
-- `updated_at`, locks the chat's row first, so the key cannot be missed. Of other refs it means
-- nothing.

ALTER TABLE chat_diff_statuses ADD COLUMN chat_updated_at timestamptz;

UPDATE chat_diff_statuses s
SET chat_updated_at = c.updated_at
FROM chats c
WHERE c.id = s.chat_id
    AND s.is_primary;
