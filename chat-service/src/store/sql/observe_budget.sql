-- name: observe_budget
-- Notes of the budget $1, which the caller has locked, what the host said. NULL or 0: not said.
--
-- Of its REST interface limit $2, remaining $3, seconds until its reset $4 and seconds $5 during which
-- nothing may be sent to it; of its GraphQL interface the same, $6 to $9. A window that resets more
-- than a minute later than the known one is new. Of the same one the least that was ever seen is
-- left, since reports may cross; one that is older tells nothing.
--
-- Nothing may be sent to either interface for $10 seconds. Pauses are only ever raised: no good answer
-- ends one. When both interfaces are paused, so is the key, until the first may be used.
--
-- $11 secondary limits were met, $12 GraphQL requests sent, $13 to $15 are what was learned of batch
-- sizes (probe, detail, discover), and $16 is whose account the key is, which is only ever learned
-- of the key of a token.
UPDATE git_budgets b
SET rest_limit = CASE WHEN w.rest_old THEN b.rest_limit ELSE coalesce($2::bigint, b.rest_limit) END,
    rest_remaining = CASE
        WHEN w.rest_new THEN $3::bigint
        WHEN w.rest_old THEN b.rest_remaining
        ELSE least(b.rest_remaining, $3::bigint)
    END,
    rest_reset_at = CASE WHEN w.rest_new THEN w.rest_reset_at ELSE b.rest_reset_at END,
    graphql_limit = CASE
        WHEN w.graphql_old THEN b.graphql_limit
        ELSE coalesce($6::bigint, b.graphql_limit)
    END,
    graphql_remaining = CASE
        WHEN w.graphql_new THEN $7::bigint
        WHEN w.graphql_old THEN b.graphql_remaining
        ELSE least(b.graphql_remaining, $7::bigint)
    END,
    graphql_reset_at = CASE WHEN w.graphql_new THEN w.graphql_reset_at ELSE b.graphql_reset_at END,
    rest_paused_until = w.rest_paused_until,
    graphql_paused_until = w.graphql_paused_until,
    paused_until = w.paused_until,
    secondary_strikes = CASE
        WHEN $11::integer > 0 THEN least(w.strikes + $11::integer, 100)
        ELSE b.secondary_strikes
    END,
    struck_at = CASE WHEN $11::integer > 0 THEN now() ELSE b.struck_at END,
    cautious_until = CASE
        WHEN $11::integer > 0 THEN greatest(
            b.cautious_until,
            greatest(w.paused_until, w.rest_paused_until, w.graphql_paused_until, now())
                + interval '10 minutes'
        )
        ELSE b.cautious_until
    END,
    burst_level = CASE
        WHEN $12::integer > 0 THEN least(w.burst + $12::integer, 1000)
        ELSE b.burst_level
    END,
    burst_at = CASE WHEN $12::integer > 0 THEN now() ELSE b.burst_at END,
    batch_probe = coalesce($13::integer, b.batch_probe),
    batch_detail = coalesce($14::integer, b.batch_detail),
    batch_discover = coalesce($15::integer, b.batch_discover),
    account_id = CASE
        WHEN b.account_id IS NULL AND b.budget_key LIKE '%|token:%' THEN $16::text
        ELSE b.account_id
    END
FROM (
    SELECT
        o.id,
        o.rest_reset_at,
        o.graphql_reset_at,
        (o.known_rest IS NULL OR o.rest_reset_at > o.known_rest + interval '1 minute') IS TRUE
            AND ($3::bigint IS NOT NULL OR o.rest_reset_at IS NOT NULL) AS rest_new,
        (o.rest_reset_at < o.known_rest - interval '1 minute') IS TRUE AS rest_old,
        (o.known_graphql IS NULL OR o.graphql_reset_at > o.known_graphql + interval '1 minute')
            IS TRUE
            AND ($7::bigint IS NOT NULL OR o.graphql_reset_at IS NOT NULL) AS graphql_new,
        (o.graphql_reset_at < o.known_graphql - interval '1 minute') IS TRUE AS graphql_old,
        o.rest_paused_until,
        o.graphql_paused_until,
        greatest(
            o.paused_until,
            CASE
                WHEN o.rest_paused_until > now() AND o.graphql_paused_until > now()
                    THEN least(o.rest_paused_until, o.graphql_paused_until)
            END
        ) AS paused_until,
        o.strikes,
        o.burst
    FROM (
        SELECT
            p.id,
            p.rest_reset_at AS known_rest,
            p.graphql_reset_at AS known_graphql,
            now() + make_interval(secs => $4::double precision) AS rest_reset_at,
            now() + make_interval(secs => $8::double precision) AS graphql_reset_at,
            greatest(
                p.rest_paused_until,
                now() + make_interval(secs => $5::double precision)
            ) AS rest_paused_until,
            greatest(
                p.graphql_paused_until,
                now() + make_interval(secs => $9::double precision)
            ) AS graphql_paused_until,
            greatest(
                p.paused_until,
                now() + make_interval(secs => $10::double precision)
            ) AS paused_until,
            greatest(
                p.secondary_strikes - floor(extract(epoch FROM now() - p.struck_at) / 3600),
                0
            )::integer AS strikes,
            greatest(
                p.burst_level - extract(epoch FROM now() - p.burst_at)::double precision / 3,
                0
            ) AS burst
        FROM git_budgets p
        WHERE p.id = $1
    ) AS o
) AS w
WHERE b.id = w.id
