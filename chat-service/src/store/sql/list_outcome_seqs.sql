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
    a.withheld_class,
    extract(epoch FROM a.withheld_until - now())::double precision AS withheld_seconds
FROM git_refs r
JOIN git_ref_polls p ON p.ref_id = r.id
JOIN git_account_states a ON a.id = p.account_id
WHERE r.id = ANY($1::uuid[])
ORDER BY r.is_primary DESC, r.reported_at DESC, r.id DESC
