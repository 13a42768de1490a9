-- name: page_by_status
-- Branch of a page: the chats of each of these statuses, latest first.
SELECT
    x.updated_at,
    x.id
FROM unnest(/* keys */ NULL::text[]) AS key (id)
CROSS JOIN LATERAL (
    SELECT
        c.updated_at,
        c.id
    FROM chats c
    WHERE c.status = key.id
        AND (/* filter */ TRUE)
        AND (/* after */ TRUE)
    ORDER BY c.updated_at DESC, c.id DESC
    LIMIT /* limit */ 1
) x
