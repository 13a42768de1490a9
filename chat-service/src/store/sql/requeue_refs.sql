-- name: requeue_refs
-- Makes those of the refs $1 due now that are polled: the primaries, those with an open pull
-- request, and those that were not looked up since their last report. With $2 only those that still
-- have a problem: another credential may do, or another ref there was read. The caller has locked
-- them.
UPDATE git_ref_polls p
SET due_at = least(p.due_at, now()),
    early_at = least(p.early_at, now()),
    -- RefreshChat may be waiting for it already.
    lane = CASE WHEN p.due_at IS NULL THEN 3 ELSE least(p.lane, 3) END
FROM git_refs r
JOIN chats c ON c.id = r.chat_id
WHERE p.ref_id = ANY($1::uuid[])
    AND r.id = p.ref_id
    AND (r.problem_class IS NOT NULL OR NOT $2::boolean)
    AND NOT c.archived
    AND (
        r.is_primary
        OR r.pull_request ->> 'state' = 'open'
        OR (p.refreshed_at >= r.reported_at) IS NOT TRUE
    )
