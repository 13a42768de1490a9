-- name: list_planned_budgets
-- The first $1 budgets for which something is planned, by when they can be leased.
SELECT
    b.budget_key,
    b.provider_id,
    b.rest_limit,
    b.rest_remaining,
    CASE
        WHEN b.rest_reset_at > now() THEN extract(epoch FROM b.rest_reset_at - now())
    END::double precision AS reset_seconds,
    CASE
        WHEN b.paused_until > now() THEN extract(epoch FROM b.paused_until - now())
    END::double precision AS paused_seconds
FROM git_budgets b
WHERE b.ready_at IS NOT NULL
ORDER BY b.ready_at, b.id
LIMIT $1
