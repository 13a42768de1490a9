-- name: page_by_repository
-- Branch of a page: the chats whose primary ref is in each of these repositories, latest first, by the
-- sort key that every primary ref carries.
SELECT
    x.updated_at,
    x.id
FROM unnest(/* keys */ NULL::text[]) AS key (repository)
CROSS JOIN LATERAL (
    SELECT
        s.chat_updated_at AS updated_at,
        s.chat_id AS id
    FROM chat_diff_statuses s
    WHERE s.is_primary
        AND s.repository_key = key.repository
        AND (/* filter of ref */ TRUE)
        AND (/* after ref */ TRUE)
    ORDER BY s.chat_updated_at DESC, s.chat_id DESC
    LIMIT /* limit */ 1
) x
