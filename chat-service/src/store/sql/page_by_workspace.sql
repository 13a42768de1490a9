-- name: page_by_workspace
-- Branch of a page: the chats of each of these workspaces, latest first.
SELECT
    x.updated_at,
    x.id
FROM unnest(/* keys */ NULL::uuid[]) AS key (id)
CROSS JOIN LATERAL (
    SELECT
        c.updated_at,
        c.id
    FROM chats c
    WHERE c.workspace_id = key.id
        AND (/* filter */ TRUE)
        AND (/* after */ TRUE)
    ORDER BY c.updated_at DESC, c.id DESC
    LIMIT /* limit */ 1
) x
