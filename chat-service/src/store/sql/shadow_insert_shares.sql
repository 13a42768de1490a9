-- name: shadow_insert_shares
-- Fills the session's own table with the shares $1, as JSON.
INSERT INTO chat_acl (
    chat_id,
    subject_kind,
    subject_id,
    level,
    owner_id,
    chat_updated_at
)
SELECT
    x.chat_id,
    x.subject_kind,
    x.subject_id,
    x.level,
    x.owner_id,
    now()
FROM jsonb_to_recordset($1::jsonb) AS x (
    chat_id uuid,
    subject_kind text,
    subject_id uuid,
    level text,
    owner_id uuid
)
