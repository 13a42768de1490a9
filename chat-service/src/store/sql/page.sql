-- name: page
-- One page: the branches, each ordered and limited by itself, merged, deduplicated and cut. Correct
-- because a chat of the page is within the first rows of every branch that holds it.
--
-- The shares are read in the same statement, if at all: those of another moment would not explain
-- why the caller may read the chat.
--
-- OFFSET 0 keeps the join what it is written as: a page's worth of look-ups by key, and never a
-- hash of the table, which a plan that does not know the limit would think cheaper.
WITH page AS MATERIALIZED (
    SELECT DISTINCT
        branch.updated_at,
        branch.id
    FROM (
        /* branches */ SELECT NULL::timestamptz AS updated_at, NULL::uuid AS id
    ) branch
    ORDER BY branch.updated_at DESC, branch.id DESC
    LIMIT /* limit */ 1
)
SELECT c.*
FROM page p
CROSS JOIN LATERAL (
    SELECT
        c.id,
        c.owner_id,
        c.organization_id,
        c.workspace_id,
        c.title,
        c.status,
        c.labels,
        c.archived,
        c.created_at,
        c.updated_at,
        CASE
            WHEN (/* with shares */ FALSE)
                THEN (
                    SELECT jsonb_agg(
                        jsonb_build_array(a.subject_kind, a.subject_id, a.level)
                        ORDER BY a.subject_kind, a.subject_id
                    )
                    FROM chat_acl a
                    WHERE a.chat_id = c.id
                )
        END AS shares
    FROM chats c
    WHERE c.id = p.id
    OFFSET 0
) c
ORDER BY p.updated_at DESC, p.id DESC
