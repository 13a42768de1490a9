-- name: page_by_pr_state
-- Branch of a page: the chats whose primary ref's pull request stands at each of these, as a state and
-- whether it is a draft; latest first, by the sort key that every primary ref carries.
SELECT
    x.updated_at,
    x.id
FROM unnest(/* keys */ NULL::text[], /* drafts */ NULL::boolean[]) AS key (state, draft)
CROSS JOIN LATERAL (
    SELECT
        s.chat_updated_at AS updated_at,
        s.chat_id AS id
    FROM chat_diff_statuses s
    WHERE s.is_primary
        AND s.pull_request_state = key.state
        AND s.pull_request_draft = key.draft
        AND (/* filter of ref */ TRUE)
        AND (/* after ref */ TRUE)
    ORDER BY s.chat_updated_at DESC, s.chat_id DESC
    LIMIT /* limit */ 1
) x
