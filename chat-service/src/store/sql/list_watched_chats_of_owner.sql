-- name: list_watched_chats_of_owner
-- The same as list_watched_chats of the chats of the owner $4 alone, by the indexes that begin with it:
-- what it reads does not grow with what others share.
SELECT watched.id
FROM (
    (
        SELECT c.id, c.updated_at
        FROM chats c
        WHERE c.owner_id = $4
            AND $4 = $1
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
            AND a.owner_id = $4
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
                AND a.owner_id = $4
                AND NOT c.archived
            ORDER BY a.chat_updated_at DESC, a.chat_id DESC
            LIMIT $3
        ) AS g
    )
) AS watched
ORDER BY watched.updated_at DESC, watched.id DESC
LIMIT $3
