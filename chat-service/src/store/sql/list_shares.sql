-- name: list_shares
-- Whom the chats $1, which the caller was shown to read, are shared with.
SELECT
    a.chat_id,
    a.subject_kind,
    a.subject_id,
    a.level
FROM chat_acl a
WHERE a.chat_id = ANY($1::uuid[])
ORDER BY a.chat_id, a.subject_kind, a.subject_id
