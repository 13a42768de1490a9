-- name: shadow_chat_acl
-- A table of this session that hides the real one, with the same columns.
CREATE TEMPORARY TABLE chat_acl (LIKE chat_acl)
