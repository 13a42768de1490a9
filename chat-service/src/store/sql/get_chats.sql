-- name: get_chats
-- The chats $1 that the caller may read, with their shares of the same moment. For events it is run
-- as it is, unchecked: the policy predicate of each watcher is interpreted on every chat before it
-- is sent.
SELECT
    c.id,
    c.owner_id,
    c.organization_id,
    c.workspace_id,
    c.title,
    c.status,
    c.labels,
    c.archived,
    c.created_at,
    c.updated_at,
    (
        SELECT jsonb_agg(
            jsonb_build_array(a.subject_kind, a.subject_id, a.level)
            ORDER BY a.subject_kind, a.subject_id
        )
        FROM chat_acl a
        WHERE a.chat_id = c.id
    ) AS shares
FROM chats c
WHERE c.id = ANY($1::uuid[])
    AND (/* readable */ TRUE)
