-- name: list_diff_statuses
-- The git refs of the chats $1, which the caller was shown to read: of each chat the primary first,
-- then by last report. What was raised is an array for each kind: the kind, the head and the time.
--
-- Problems of the account and pauses of the budget are not written on refs, but joined here. A
-- pause, or a rest, shows on what is due before it ends, unless it is for less urgent lanes only;
-- of both, the class of the one that is for more lanes, as in list_outcome_seqs. A refused
-- credential is not tried before its retry time, nor an expired one before it was renewed; without
-- one, or with one that can be neither used nor renewed, nothing is asked, and no time is shown.
SELECT
    r.id,
    r.chat_id,
    r.git_remote_origin,
    r.git_branch,
    r.provider_id,
    r.repository,
    r.is_primary,
    r.reported_at,
    r.pull_request,
    r.attention,
    CASE
        WHEN r.attention > 0
            THEN (
                SELECT jsonb_agg(jsonb_build_array(o.kind, o.head_sha, o.raised_at))
                FROM git_ref_attentions o
                WHERE o.ref_id = r.id
            )
    END AS raised,
    p.refreshed_at,
    CASE
        WHEN coalesce(k.class, w.class) IS NOT NULL THEN 'paused'
        WHEN p.due_at <= now() AND b.lease_expires_at > now() THEN 'refreshing'
        WHEN r.problem_class IS NOT NULL AND (p.due_at <= now()) IS NOT TRUE THEN 'paused'
        WHEN p.refreshed_at IS NULL THEN 'unknown'
        WHEN p.due_at <= now() THEN 'due'
        ELSE 'fresh'
    END AS freshness,
    CASE
        WHEN p.due_at IS NULL OR a.budget_id IS NULL THEN NULL
        WHEN a.credential_state = 'rejected' AND a.retry_at IS NULL THEN NULL
        ELSE greatest(p.due_at, w.until, a.retry_at, a.held_until)
    END AS next_refresh_at,
    coalesce(k.class, w.class, r.problem_class) AS problem_class,
    CASE
        WHEN coalesce(k.class, w.class) IS NULL THEN r.problem_since
        WHEN p.due_at <= now() THEN p.due_at
    END AS problem_since,
    CASE
        WHEN k.class IS NULL THEN w.class_until
        ELSE greatest(a.retry_at, a.held_until)
    END AS problem_until
FROM git_refs r
JOIN git_ref_polls p ON p.ref_id = r.id
JOIN git_accounts a ON a.id = r.account_id
LEFT JOIN git_budgets b ON b.id = a.budget_id
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN p.due_at IS NULL THEN NULL
        WHEN a.credential_state = 'none' THEN CASE WHEN p.due_at <= now() THEN 'no_account' END
        WHEN a.credential_state = 'rejected' OR a.retry_at > now()
            THEN 'credential_' || a.credential_state
        WHEN a.held_until > now() THEN a.renewal_problem
    END AS class
) AS k
CROSS JOIN LATERAL (
    SELECT
        (array_agg(s.class ORDER BY s.lane, s.until DESC))[1] AS class,
        (array_agg(s.until ORDER BY s.lane, s.until DESC))[1] AS class_until,
        max(s.until) AS until
    FROM (VALUES
        (b.pause_class, b.paused_until, b.pause_lane),
        (b.rest_class, b.rests_until, b.rest_lane)
    ) AS s (class, until, lane)
    WHERE s.until > greatest(now(), p.due_at)
        AND p.due_at IS NOT NULL
        AND s.lane <= p.lane
) AS w
WHERE r.chat_id = ANY($1::uuid[])
    AND (/* which */ TRUE)
ORDER BY r.chat_id, r.is_primary DESC, r.reported_at DESC, r.id DESC
