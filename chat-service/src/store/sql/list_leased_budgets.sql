-- name: list_leased_budgets
-- The leases of the budgets $3 that the request $1 holds, with what is known of the budgets as of
-- now: strikes decay with time. `quantum` and `withheld_from` are those of lock_ready_budgets, with
-- $2 refs of a turn. The caller has locked them.
SELECT
    b.id,
    b.lease_token,
    b.budget_key,
    extract(epoch FROM b.lease_expires_at - now())::double precision AS expires_seconds,
    greatest($2::bigint >> least(b.lost_leases, 16), 1) AS quantum,
    least(
        CASE WHEN b.paused_until > now() THEN b.pause_lane END,
        CASE WHEN b.rests_until > now() THEN b.rest_lane END,
        5
    )::smallint AS withheld_from,
    now() AS as_of,
    b.windows,
    greatest(
        b.secondary_strikes - floor(extract(epoch FROM now() - b.struck_at) / 3600),
        0
    )::integer AS strikes,
    CASE
        WHEN b.cautious_until > now() THEN extract(epoch FROM b.cautious_until - now())
    END::double precision AS cautious_seconds,
    b.demand,
    b.resumes,
    b.budget_key NOT LIKE '%|token:%' AS account_known
FROM git_budgets b
WHERE b.id = ANY($3::uuid[])
    AND b.lease_request_id = $1
    AND b.lease_expires_at > now()
ORDER BY b.id
