-- name: share_pauses
-- Pauses every key of the account whose the budget $1 is, as the host told, for as long as the longest of them:
-- each interface, both, and how long to be cautious. As with one key, when both interfaces are paused, so
-- is the key, until the first may be used. Locks the keys in the order of their ids; leases go on.
WITH locked AS MATERIALIZED (
    SELECT
        b.id, b.paused_until, b.rest_paused_until, b.graphql_paused_until, b.cautious_until
    FROM git_budgets b
    WHERE b.id IN (
        SELECT k.id
        FROM git_budgets o
        JOIN git_budgets k ON k.provider_id = o.provider_id AND k.account_id = o.account_id
        WHERE o.id = $1
    )
    ORDER BY b.id
    FOR UPDATE
), longest AS MATERIALIZED (
    SELECT
        greatest(
            max(l.paused_until),
            CASE
                WHEN max(l.rest_paused_until) > now() AND max(l.graphql_paused_until) > now()
                    THEN least(max(l.rest_paused_until), max(l.graphql_paused_until))
            END
        ) AS paused_until,
        max(l.rest_paused_until) AS rest_paused_until,
        max(l.graphql_paused_until) AS graphql_paused_until,
        max(l.cautious_until) AS cautious_until
    FROM locked l
)
UPDATE git_budgets b
SET paused_until = p.paused_until,
    rest_paused_until = p.rest_paused_until,
    graphql_paused_until = p.graphql_paused_until,
    cautious_until = p.cautious_until
FROM longest p
WHERE b.id IN (SELECT l.id FROM locked l)
    AND (b.paused_until, b.rest_paused_until, b.graphql_paused_until, b.cautious_until)
        IS DISTINCT FROM
        (p.paused_until, p.rest_paused_until, p.graphql_paused_until, p.cautious_until)
