-- name: list_leased_refs
-- The refs $1 as a lease hands them out, with the account that looks each up.
SELECT
    r.id,
    a.id AS account_id,
    a.budget_id,
    a.generation,
    r.provider_id,
    p.report_seq,
    p.looks,
    r.repository,
    r.git_branch,
    r.commit_sha,
    p.lane,
    extract(epoch FROM now() - r.reported_at)::double precision AS reported_seconds,
    extract(epoch FROM now() - greatest(p.changed_at, r.reported_at))::double precision
        AS changed_seconds,
    extract(epoch FROM now() - r.created_at)::double precision AS first_reported_seconds,
    extract(epoch FROM now() - greatest(c.updated_at, r.reported_at))::double precision
        AS active_seconds,
    (p.viewed_until > now()) IS TRUE AS viewed,
    p.failures,
    p.misses,
    p.settled_count,
    p.unchanged_count,
    r.upstream_repository,
    r.canonical_repository,
    r.pr_repository,
    r.pull_request,
    r.pr_host_id,
    extract(epoch FROM now() - p.found_at)::double precision AS found_seconds,
    p.fingerprint,
    p.traceparent,
    EXISTS (
        SELECT
        FROM git_diffs d
        WHERE d.ref_id = r.id
            AND d.answered < d.asked
            AND d.wanted_until > now()
    ) AS diff_wanted
FROM git_ref_polls p
JOIN git_refs r ON r.id = p.ref_id
JOIN chats c ON c.id = r.chat_id
JOIN git_accounts a ON a.id = p.account_id
WHERE p.ref_id = ANY($1::uuid[])
ORDER BY a.budget_id, a.id, p.lane, p.due_at, r.id
