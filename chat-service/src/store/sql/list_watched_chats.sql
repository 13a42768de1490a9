-- name: list_watched_chats
-- Of the chats that the user $1 owns, or that are shared with them or with one of their groups $2, the
-- $3 that were updated last. Not for showing: it tells whose refs are worth a look.
SELECT watched.id
FROM (
    (
        SELECT c.id, c.updated_at
        FROM chats c
        WHERE c.owner_id = $1
            AND NOT c.archived
        ORDER BY c.updated_at DESC, c.id DESC
        LIMIT $3
    )
    UNION
    (
        SELECT c.id, c.updated_at
        FROM chat_acl a
        JOIN chats c ON c.id = a.chat_id
        WHERE a.subject_kind = 'user'
            AND a.subject_id = $1
            AND NOT c.archived
        ORDER BY a.chat_updated_at DESC, a.chat_id DESC
        LIMIT $3
    )
    UNION
    (
        SELECT g.id, g.updated_at
        FROM unnest($2::uuid[]) AS member (group_id)
        CROSS JOIN LATERAL (
            SELECT c.id, c.updated_at
            FROM chat_acl a
            JOIN chats c ON c.id = a.chat_id
            WHERE a.subject_kind = 'group'
                AND a.subject_id = member.group_id
                AND NOT c.archived
            ORDER BY a.chat_updated_at DESC, a.chat_id DESC
            LIMIT $3
        ) AS g
    )
) AS watched
ORDER BY watched.updated_at DESC, watched.id DESC
LIMIT $3
