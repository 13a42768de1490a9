-- name: page_by_pr_number
-- Branch of a page: the chats whose primary ref's pull request has each of these numbers, latest
-- first.
SELECT
    x.updated_at,
    x.id
FROM unnest(/* keys */ NULL::integer[]) AS key (number)
CROSS JOIN LATERAL (
    SELECT
        c.updated_at,
        c.id
    FROM chats c
    WHERE c.primary_pr_number = key.number
        AND (/* filter */ TRUE)
        AND (/* after */ TRUE)
    ORDER BY c.updated_at DESC, c.id DESC
    LIMIT /* limit */ 1
) x
