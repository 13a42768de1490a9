-- name: list_leased_budgets
-- What is known of the budgets that the request $1 leases, as of now: a window that is over tells
-- only its limit, and so does one that nobody told the end of, since what was left of it may be long
-- back; a pause that is over tells nothing, and strikes and bursts are forgiven with time.
SELECT
    b.lease_token,
    b.rest_limit,
    CASE WHEN b.rest_reset_at > now() THEN b.rest_remaining END AS rest_remaining,
    CASE
        WHEN b.rest_reset_at > now() THEN extract(epoch FROM b.rest_reset_at - now())
    END::double precision AS rest_reset_seconds,
    CASE
        WHEN b.rest_paused_until > now() THEN extract(epoch FROM b.rest_paused_until - now())
    END::double precision AS rest_pause_seconds,
    b.graphql_limit,
    CASE WHEN b.graphql_reset_at > now() THEN b.graphql_remaining END AS graphql_remaining,
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
    CASE
        WHEN b.cautious_until > now() THEN extract(epoch FROM b.cautious_until - now())
    END::double precision AS cautious_seconds,
    b.demand,
    greatest(
        b.burst_level - extract(epoch FROM now() - b.burst_at)::double precision / 3,
        0
    ) AS burst,
    b.batch_probe,
    b.batch_detail,
    b.batch_discover,
    b.account_id IS NOT NULL AS account_known
FROM git_budgets b
WHERE b.lease_request_id = $1
    AND b.lease_expires_at > now()
