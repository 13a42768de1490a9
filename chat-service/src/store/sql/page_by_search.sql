-- name: page_by_search
-- Second part of page_near for filters whose index knows no order (title, labels): the chats that
-- it names, sorted, unless they are too many. Then the filter matches so often that a walk in order
-- fills the page sooner.
--
-- `matching` has no limit of its own, though no more of it is read than is asked for: with one, a
-- plan would rather read the table until it is reached.
WITH matching AS MATERIALIZED (
    SELECT
        c.updated_at,
        c.id,
        (/* filter of candidate */ TRUE) AS wanted
    FROM chats c
    WHERE (/* needed */ TRUE)
        AND (/* search */ TRUE)
        AND (/* after */ TRUE)
),
candidates AS MATERIALIZED (
    SELECT
        m.updated_at,
        m.id,
        m.wanted
    FROM matching m
    LIMIT /* candidates */ 1
),
many AS MATERIALIZED (
    SELECT (SELECT count(*) FROM candidates) = /* candidates */ 1 AS holds
)
(
    SELECT
        k.updated_at,
        k.id
    FROM candidates k
    WHERE NOT (SELECT m.holds FROM many m)
        AND k.wanted
    ORDER BY k.updated_at DESC, k.id DESC
    LIMIT /* limit */ 1
)
UNION ALL
(
    /* walk */ SELECT NULL::timestamptz AS updated_at, NULL::uuid AS id WHERE FALSE
)
