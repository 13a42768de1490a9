-- name: page_by_archived
-- Branch of a page: all archived chats, latest first.
SELECT
    c.updated_at,
    c.id
FROM chats c
WHERE c.archived
    AND (/* filter */ TRUE)
    AND (/* after */ TRUE)
ORDER BY c.updated_at DESC, c.id DESC
LIMIT /* limit */ 1
