-- name: list_leased_refs
-- What is left of the leases of the request $1: refs without an outcome, of leases that live, with
-- their budget and lease. `linked` tells whether their owner has an account, so that a credential
-- that cannot be read is never taken for none. A ref that moved to another budget has left.
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
    EXISTS (
        SELECT
        FROM git_accounts a
        WHERE a.user_id = s.owner_id
            AND a.provider_id = s.provider_id
    ) AS linked
FROM git_budgets b
JOIN chat_diff_statuses s ON s.lease_token = b.lease_token AND s.budget_id = b.id
WHERE b.lease_request_id = $1
    AND b.lease_expires_at > now()
ORDER BY b.id, s.provider_id, s.owner_id, s.lane, s.due_at, s.id
