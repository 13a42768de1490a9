-- name: list_outcome_seqs
-- How many answers the refs $1 have had, what the last one was, whether another is to come (what
-- was made due stays due until then), and why it cannot come now, with for how many seconds: the
-- account has no usable credential, or the budget spends nothing even for a person. The primary
-- first. A ref that is gone has no row.
SELECT
    r.id,
    p.outcome_seq,
    r.is_primary
        OR (r.pull_request ->> 'state' = 'open') IS TRUE
        OR (p.refreshed_at >= r.reported_at) IS NOT TRUE AS polled,
    (p.due_at <= now()) IS TRUE AS planned,
    r.problem_class,
    w.class AS withheld_class,
    extract(epoch FROM w.until - now())::double precision AS withheld_seconds
FROM git_refs r
JOIN git_ref_polls p ON p.ref_id = r.id
JOIN git_accounts a ON a.id = p.account_id
LEFT JOIN git_budgets b ON b.id = a.budget_id
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN a.credential_state = 'none' THEN 'no_account'
            WHEN a.retry_at > now() THEN 'credential_' || a.credential_state
            WHEN a.credential_state = 'rejected' AND a.retry_at IS NULL THEN 'credential_rejected'
            WHEN a.held_until > now() AND a.renewal_problem IS NOT NULL THEN a.renewal_problem
            ELSE (array_agg(s.class ORDER BY s.until DESC))[1]
        END AS class,
        CASE
            WHEN a.retry_at > now() THEN a.retry_at
            WHEN a.held_until > now() AND a.renewal_problem IS NOT NULL THEN a.held_until
            ELSE max(s.until)
        END AS until
    FROM (VALUES
        (b.pause_class, b.paused_until, b.pause_lane),
        (b.rest_class, b.rests_until, b.rest_lane)
    ) AS s (class, until, lane)
    WHERE s.until > now()
        AND s.lane = 1
) AS w
WHERE r.id = ANY($1::uuid[])
ORDER BY r.is_primary DESC, r.reported_at DESC, r.id DESC
