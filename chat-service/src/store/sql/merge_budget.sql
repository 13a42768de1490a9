-- name: merge_budget
-- Adds what is known of the budget $2 to the budget $1, both of which the caller has locked, since they
-- turned out to be one account's: the longest of the pauses holds, and of a window the least is left. When
-- both interfaces are paused, so is the key, until the first may be used.
UPDATE git_budgets b
SET paused_until = greatest(
        b.paused_until,
        o.paused_until,
        CASE
            WHEN greatest(b.rest_paused_until, o.rest_paused_until) > now()
                AND greatest(b.graphql_paused_until, o.graphql_paused_until) > now()
                THEN least(
                    greatest(b.rest_paused_until, o.rest_paused_until),
                    greatest(b.graphql_paused_until, o.graphql_paused_until)
                )
        END
    ),
    rest_paused_until = greatest(b.rest_paused_until, o.rest_paused_until),
    graphql_paused_until = greatest(b.graphql_paused_until, o.graphql_paused_until),
    rest_limit = coalesce(b.rest_limit, o.rest_limit),
    rest_remaining = CASE
        WHEN b.rest_reset_at IS NULL OR o.rest_reset_at > b.rest_reset_at + interval '1 minute'
            THEN coalesce(o.rest_remaining, b.rest_remaining)
        WHEN o.rest_reset_at < b.rest_reset_at - interval '1 minute' THEN b.rest_remaining
        ELSE least(b.rest_remaining, o.rest_remaining)
    END,
    rest_reset_at = greatest(b.rest_reset_at, o.rest_reset_at),
    graphql_limit = coalesce(b.graphql_limit, o.graphql_limit),
    graphql_remaining = CASE
        WHEN b.graphql_reset_at IS NULL
            OR o.graphql_reset_at > b.graphql_reset_at + interval '1 minute'
            THEN coalesce(o.graphql_remaining, b.graphql_remaining)
        WHEN o.graphql_reset_at < b.graphql_reset_at - interval '1 minute' THEN b.graphql_remaining
        ELSE least(b.graphql_remaining, o.graphql_remaining)
    END,
    graphql_reset_at = greatest(b.graphql_reset_at, o.graphql_reset_at),
    secondary_strikes = greatest(b.secondary_strikes, o.secondary_strikes),
    struck_at = greatest(b.struck_at, o.struck_at),
    cautious_until = greatest(b.cautious_until, o.cautious_until),
    burst_level = greatest(b.burst_level, o.burst_level),
    burst_at = greatest(b.burst_at, o.burst_at),
    batch_probe = coalesce(b.batch_probe, o.batch_probe),
    batch_detail = coalesce(b.batch_detail, o.batch_detail),
    batch_discover = coalesce(b.batch_discover, o.batch_discover),
    account_id = coalesce(b.account_id, o.account_id),
    interactive_since = least(b.interactive_since, o.interactive_since),
    demand_at = NULL
FROM git_budgets o
WHERE b.id = $1
    AND o.id = $2
