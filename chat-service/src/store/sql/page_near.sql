-- name: page_near
-- Branch of a page that a filter narrows. The recency probe comes first: a bounded number of the
-- latest chats that the caller may read, or of a workspace. If the filter matches often, the page
-- is full soon; if no further chats exist, the probe is complete. Otherwise the fallback is
-- complete by itself: the chats that the filter's own index names, each with the predicate checked.
--
-- Correct because the probe holds every match down to the last chat it looked at: where it has a
-- full page, or no further chat exists, nothing is missing.
WITH near AS MATERIALIZED (
    SELECT DISTINCT
        branch.updated_at,
        branch.id
    FROM (
        /* branches */ SELECT NULL::timestamptz AS updated_at, NULL::uuid AS id
    ) branch
    ORDER BY branch.updated_at DESC, branch.id DESC
    LIMIT /* near */ 1
),
hits AS MATERIALIZED (
    SELECT
        n.updated_at,
        n.id
    FROM (
        -- Sorted before the rest is asked, which then stops at a page's worth.
        SELECT
            near.updated_at,
            near.id
        FROM near
        ORDER BY near.updated_at DESC, near.id DESC
    ) n
    WHERE (
        SELECT (/* filter */ TRUE)
        FROM chats c
        WHERE c.id = n.id
    )
    ORDER BY n.updated_at DESC, n.id DESC
    LIMIT /* limit */ 1
),
further AS MATERIALIZED (
    SELECT
        (SELECT count(*) FROM hits) < /* limit */ 1
        AND (SELECT count(*) FROM near) = /* near */ 1 AS needed
)
SELECT
    h.updated_at,
    h.id
FROM hits h
UNION ALL
(
    /* far */ SELECT NULL::timestamptz AS updated_at, NULL::uuid AS id WHERE FALSE
)
