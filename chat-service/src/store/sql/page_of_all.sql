-- name: page_of_all
-- One page for a caller who may see nearly everything: the list of all chats, or of all that stand
-- under an index's condition, latest first, without what the caller may not see. There is one way
-- to walk, so nothing to merge or to look up again.
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
    CASE
        WHEN (/* with shares */ FALSE)
            THEN (
                SELECT jsonb_agg(
                    jsonb_build_array(a.subject_kind, a.subject_id, a.level)
                    ORDER BY a.subject_kind, a.subject_id
                )
                FROM chat_acl a
                WHERE a.chat_id = c.id
            )
    END AS shares
FROM chats c
WHERE (/* under key */ TRUE)
    AND (/* filter */ TRUE)
    AND (/* after */ TRUE)
ORDER BY c.updated_at DESC, c.id DESC
LIMIT /* limit */ 1
