-- name: page_near
-- Branch of a page that a filter narrows. First the latest chats that the caller may read, so and so
-- many of them: if the filter matches often, the page is full soon, and if the caller may read few,
-- these are all. Only if neither is so, the chats that the filter's own index names, each with the
-- predicate checked.
--
-- Correct because the first part holds every match down to the last chat it looked at: where it has a
-- page's worth, or there is no further chat, nothing is missing; where not, the second part is
-- complete by itself.
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
    FROM near n
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
