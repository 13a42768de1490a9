-- name: shadow_truncate
-- Empties the session's own tables.
TRUNCATE pg_temp.chats, pg_temp.chat_acl
