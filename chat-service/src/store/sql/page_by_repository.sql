-- name: page_by_repository
-- Branch of a page: the chats whose primary ref is in each of these repositories, latest first.
SELECT
    x.updated_at,
    x.id
FROM unnest(/* keys */ NULL::text[]) AS key (repository)
CROSS JOIN LATERAL (
    SELECT
        c.updated_at,
        c.id
    FROM chats c
    WHERE c.primary_repository_key = key.repository
        AND (/* filter */ TRUE)
        AND (/* after */ TRUE)
    ORDER BY c.updated_at DESC, c.id DESC
    LIMIT /* limit */ 1
) x
