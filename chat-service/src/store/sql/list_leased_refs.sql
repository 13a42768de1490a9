-- name: list_leased_refs
-- What is left of the leases of the request $1: refs without an outcome, of leases that live, with
-- their budget and lease. `linked` tells whether their owner has an account, so that a credential
-- that cannot be read is never taken for none. A ref that moved to another budget has left, and one
-- whose credential the host has refused meanwhile is not handed out.
SELECT
    b.id AS budget_id,
    b.budget_key,
    b.lease_token,
    extract(epoch FROM b.lease_expires_at - now())::double precision AS expires_seconds,
    s.id,
    s.owner_id,
    s.provider_id,
    s.report_seq,
    s.repository_owner,
    s.repository_name,
    s.git_branch,
    s.commit_sha,
    s.lane,
    extract(epoch FROM now() - s.reported_at)::double precision AS reported_seconds,
    s.failures,
    s.misses,
    s.settled_count,
    s.upstream_repository,
    s.pr_repository,
    s.pr_number,
    s.pull_request_state,
    s.pull_request_draft,
    s.pr_node_id,
    extract(epoch FROM now() - greatest(s.changed_at, s.reported_at))::double precision
        AS changed_seconds,
    extract(epoch FROM now() - greatest(c.updated_at, s.reported_at))::double precision
        AS active_seconds,
    (s.viewed_until > now()) IS TRUE AS viewed,
    s.unchanged_count,
    extract(epoch FROM now() - s.found_at)::double precision AS found_seconds,
    s.fingerprint,
    s.validator,
    s.canonical_repository,
    a.id IS NOT NULL AS linked
FROM git_budgets b
JOIN chat_diff_statuses s ON s.lease_token = b.lease_token AND s.budget_id = b.id
JOIN chats c ON c.id = s.chat_id
LEFT JOIN git_accounts a ON a.user_id = s.owner_id AND a.provider_id = s.provider_id
WHERE b.lease_request_id = $1
    AND b.lease_expires_at > now()
    AND (a.credential_state = 'rejected' OR a.confirm_after > now()) IS NOT TRUE
ORDER BY b.id, s.provider_id, s.owner_id, s.lane, s.due_at, s.id
