-- name: page_by_organization
-- Branch of a page: the chats of each of these organizations, latest first; of one owner's
-- alone, if the caller's way is narrowed so.
SELECT
    x.updated_at,
    x.id
FROM unnest(/* keys */ NULL::uuid[]) AS key (id)
CROSS JOIN LATERAL (
    SELECT
        c.updated_at,
        c.id
    FROM chats c
    WHERE c.organization_id = key.id
        AND (/* owner */ TRUE)
        AND (/* filter */ TRUE)
        AND (/* after */ TRUE)
    ORDER BY c.updated_at DESC, c.id DESC
    LIMIT /* limit */ 1
) x
