-- name: shadow_chats
-- A table of this session that hides the real one, with the same columns: what is asked of `chats` from now
-- on is asked of it.
CREATE TEMPORARY TABLE chats (LIKE chats)
