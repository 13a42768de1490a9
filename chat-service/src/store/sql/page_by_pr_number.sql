-- name: page_by_pr_number
-- Branch of a page: the chats whose primary ref's pull request has each of these numbers, latest
-- first, by the sort key that every primary ref carries.
SELECT
    x.updated_at,
    x.id
FROM unnest(/* keys */ NULL::integer[]) AS key (number)
CROSS JOIN LATERAL (
    SELECT
        s.chat_updated_at AS updated_at,
        s.chat_id AS id
    FROM chat_diff_statuses s
    WHERE s.is_primary
        AND s.pr_number = key.number
        AND (/* filter of ref */ TRUE)
        AND (/* after ref */ TRUE)
    ORDER BY s.chat_updated_at DESC, s.chat_id DESC
    LIMIT /* limit */ 1
) x
