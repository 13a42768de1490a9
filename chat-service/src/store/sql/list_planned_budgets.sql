-- name: list_planned_budgets
-- The first $1 budgets for which something is planned, by when they can be leased.
SELECT
    b.budget_key,
    b.provider_id,
    b.rest_limit,
    b.rest_remaining,
    CASE
        WHEN b.rest_reset_at > now() THEN extract(epoch FROM b.rest_reset_at - now())
    END::double precision AS rest_reset_seconds,
    CASE
        WHEN b.rest_paused_until > now() THEN extract(epoch FROM b.rest_paused_until - now())
    END::double precision AS rest_pause_seconds,
    b.graphql_limit,
    b.graphql_remaining,
    CASE
        WHEN b.graphql_reset_at > now() THEN extract(epoch FROM b.graphql_reset_at - now())
    END::double precision AS graphql_reset_seconds,
    CASE
        WHEN b.graphql_paused_until > now() THEN extract(epoch FROM b.graphql_paused_until - now())
    END::double precision AS graphql_pause_seconds,
    greatest(
        b.secondary_strikes - floor(extract(epoch FROM now() - b.struck_at) / 3600),
        0
    )::integer AS strikes,
    b.account_id IS NOT NULL AS account_known,
    CASE
        WHEN b.paused_until > now() THEN extract(epoch FROM b.paused_until - now())
    END::double precision AS paused_seconds
FROM git_budgets b
WHERE b.ready_at IS NOT NULL
ORDER BY b.ready_at, b.id
LIMIT $1
