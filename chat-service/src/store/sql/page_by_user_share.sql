-- name: page_by_user_share
-- Branch of a page: the chats shared with each of these users, latest first, by the sort key that
-- every share carries, as it does the owner. What else must hold is asked of each chat by itself: a join could be planned
-- as a hash of the table.
SELECT
    x.updated_at,
    x.id
FROM unnest(/* keys */ NULL::uuid[]) AS key (id)
CROSS JOIN LATERAL (
    SELECT
        a.chat_updated_at AS updated_at,
        a.chat_id AS id
    FROM chat_acl a
    WHERE a.subject_kind = 'user'
        AND a.subject_id = key.id
        AND (/* owner of share */ TRUE)
        AND (/* filter of share */ TRUE)
        AND (/* after share */ TRUE)
    ORDER BY a.chat_updated_at DESC, a.chat_id DESC
    LIMIT /* limit */ 1
) x
