-- name: list_outcome_seqs
-- How many outcomes the refs $1 have had, what the last one was, whether another is to come, and for
-- how long it cannot, since the budget is paused, or why it cannot, since the host refuses the
-- credential; the primary first. A ref that is gone has no row.
SELECT
    s.id,
    s.outcome_seq,
    (s.is_primary OR s.pull_request_state = 'open') IS TRUE AS polled,
    (
        s.due_at IS NOT NULL
        OR (s.lease_token = b.lease_token AND b.lease_expires_at > now())
    ) IS TRUE AS planned,
    CASE
        WHEN b.paused_until > now() THEN extract(epoch FROM b.paused_until - now())
    END::double precision AS paused_seconds,
    CASE
        WHEN a.credential_state = 'rejected' THEN 'credential_rejected'
        WHEN a.confirm_after > now() THEN 'credential_suspect'
    END AS refusal,
    s.problem_class,
    CASE
        WHEN s.problem_until > now() THEN extract(epoch FROM s.problem_until - now())
    END::double precision AS retry_seconds
FROM chat_diff_statuses s
JOIN git_budgets b ON b.id = s.budget_id
LEFT JOIN git_accounts a ON a.user_id = s.owner_id AND a.provider_id = s.provider_id
WHERE s.id = ANY($1::uuid[])
ORDER BY s.is_primary DESC, s.reported_at DESC, s.id DESC
