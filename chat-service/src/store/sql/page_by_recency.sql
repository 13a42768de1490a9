-- name: page_by_recency
-- Branch of a page: all chats, latest first.
SELECT
    c.updated_at,
    c.id
FROM chats c
WHERE (/* filter */ TRUE)
    AND (/* after */ TRUE)
ORDER BY c.updated_at DESC, c.id DESC
LIMIT /* limit */ 1
