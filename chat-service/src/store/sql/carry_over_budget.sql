-- name: carry_over_budget
-- Takes pause and limits of the budget $1, which the account of the user $2 spent until now, over to
-- the budget $3 that it spends from now on: a new token is most often the same account's at the
-- host, and nothing is sent for that before its pause ends. Not when somebody else's account spends
-- either of the two. When both interfaces are paused, so is the key, until the first may be used. The
-- caller has locked both.
UPDATE git_budgets b
SET paused_until = greatest(
        b.paused_until,
        former.paused_until,
        CASE
            WHEN greatest(b.rest_paused_until, former.rest_paused_until) > now()
                AND greatest(b.graphql_paused_until, former.graphql_paused_until) > now()
                THEN least(
                    greatest(b.rest_paused_until, former.rest_paused_until),
                    greatest(b.graphql_paused_until, former.graphql_paused_until)
                )
        END
    ),
    rest_paused_until = greatest(b.rest_paused_until, former.rest_paused_until),
    graphql_paused_until = greatest(b.graphql_paused_until, former.graphql_paused_until),
    rest_limit = CASE WHEN b.rest_limit IS NULL THEN former.rest_limit ELSE b.rest_limit END,
    rest_remaining = CASE
        WHEN b.rest_limit IS NULL THEN former.rest_remaining
        ELSE b.rest_remaining
    END,
    rest_reset_at = CASE
        WHEN b.rest_limit IS NULL THEN former.rest_reset_at
        ELSE b.rest_reset_at
    END,
    graphql_limit = CASE
        WHEN b.graphql_limit IS NULL THEN former.graphql_limit
        ELSE b.graphql_limit
    END,
    graphql_remaining = CASE
        WHEN b.graphql_limit IS NULL THEN former.graphql_remaining
        ELSE b.graphql_remaining
    END,
    graphql_reset_at = CASE
        WHEN b.graphql_limit IS NULL THEN former.graphql_reset_at
        ELSE b.graphql_reset_at
    END,
    secondary_strikes = greatest(b.secondary_strikes, former.secondary_strikes),
    struck_at = greatest(b.struck_at, former.struck_at),
    cautious_until = greatest(b.cautious_until, former.cautious_until),
    burst_level = greatest(b.burst_level, former.burst_level),
    burst_at = greatest(b.burst_at, former.burst_at),
    batch_probe = coalesce(b.batch_probe, former.batch_probe),
    batch_detail = coalesce(b.batch_detail, former.batch_detail),
    batch_discover = coalesce(b.batch_discover, former.batch_discover)
FROM git_budgets former
WHERE former.id = $1
    AND b.id = $3
    AND b.id <> former.id
    AND NOT EXISTS (
        SELECT
        FROM git_accounts a
        WHERE a.budget_id IN ($1, $3)
            AND a.user_id <> $2
    )
