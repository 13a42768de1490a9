-- name: requeue_denied_refs
-- Makes those of the refs $1 due now that are polled and still have a problem: another credential
-- may do. The caller has locked them.
UPDATE git_ref_polls p
SET due_at = least(p.due_at, now()),
    early_at = least(p.early_at, now()),
    lane = least(p.lane, 3)
FROM git_refs r
JOIN chats c ON c.id = r.chat_id
WHERE p.ref_id = ANY($1::uuid[])
    AND r.id = p.ref_id
    AND r.problem_class IS NOT NULL
    AND NOT c.archived
    AND (
        r.is_primary
        OR r.pull_request ->> 'state' = 'open'
        OR (p.refreshed_at >= r.reported_at) IS NOT TRUE
    )
