-- name: page_by_pr_state
-- Branch of a page: the chats whose primary ref's pull request stands at each of these, as a state
-- and whether it is a draft; latest first.
SELECT
    x.updated_at,
    x.id
FROM unnest(/* keys */ NULL::text[], /* drafts */ NULL::boolean[]) AS key (state, draft)
CROSS JOIN LATERAL (
    SELECT
        c.updated_at,
        c.id
    FROM chats c
    WHERE c.primary_pr_state = key.state
        AND c.primary_pr_draft = key.draft
        AND (/* filter */ TRUE)
        AND (/* after */ TRUE)
    ORDER BY c.updated_at DESC, c.id DESC
    LIMIT /* limit */ 1
) x
