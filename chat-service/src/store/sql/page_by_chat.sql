-- name: page_by_chat
-- Branch of a page: the chats that stand under each of the keys, latest first; all chats, if there
-- are no keys. Each condition on a key is of columns that begin an index in this order; so is the
-- owner, to which a caller's way may be narrowed.
SELECT
    x.updated_at,
    x.id
FROM /* keys */ (SELECT) AS key
CROSS JOIN LATERAL (
    SELECT
        c.updated_at,
        c.id
    FROM chats c
    WHERE (/* under key */ TRUE)
        AND (/* owner */ TRUE)
        AND (/* filter */ TRUE)
        AND (/* after */ TRUE)
    ORDER BY c.updated_at DESC, c.id DESC
    LIMIT /* limit */ 1
) x
