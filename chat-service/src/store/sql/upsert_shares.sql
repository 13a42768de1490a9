-- name: upsert_shares
-- Shares the chat $1, which the transaction has locked, with the subjects of kinds $2 and ids $3 at
-- the levels $4. Returns the shares that are new.
INSERT INTO chat_acl AS a (
    chat_id, subject_kind, subject_id, level, owner_id, chat_updated_at, chat_archived, chat_status,
    chat_pr, chat_attention
)
SELECT c.id, new.kind, new.id, new.level, c.owner_id, c.updated_at, c.archived, c.list_status,
    c.list_pr, c.primary_attention
FROM chats c
CROSS JOIN unnest($2::text[], $3::uuid[], $4::text[]) AS new (kind, id, level)
WHERE c.id = $1
ON CONFLICT ON CONSTRAINT chat_acl_pkey DO UPDATE
SET level = excluded.level
WHERE a.level <> excluded.level
RETURNING a.subject_id
