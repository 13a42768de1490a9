-- name: page_by_share
-- As page_by_chat, of the chats that are shared with each of the keys, by the sort key that every
-- share carries, as it does the owner. What else must hold is asked of each chat by itself: a join
-- could be planned as a hash of the table.
SELECT
    x.updated_at,
    x.id
FROM /* keys */ (SELECT) AS key
CROSS JOIN LATERAL (
    SELECT
        a.chat_updated_at AS updated_at,
        a.chat_id AS id
    FROM chat_acl a
    WHERE (/* under key */ TRUE)
        AND (/* owner of share */ TRUE)
        AND (/* filter of share */ TRUE)
        AND (/* after share */ TRUE)
    ORDER BY a.chat_updated_at DESC, a.chat_id DESC
    LIMIT /* limit */ 1
) x
