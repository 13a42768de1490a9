-- name: resume_polling_refs
-- Makes the polled refs of the chat $1, which was unarchived, due now: the primary, those with an
-- open pull request, and those that were not looked up since their last report. The caller has
-- locked them.
UPDATE git_ref_polls p
SET due_at = now(),
    early_at = now(),
    -- RefreshChat may be waiting for it already.
    lane = CASE WHEN p.due_at <= now() THEN least(p.lane, 3) ELSE 3 END
FROM git_refs r
WHERE r.chat_id = $1
    AND p.ref_id = r.id
    AND (
        r.is_primary
        OR r.pull_request ->> 'state' = 'open'
        OR (p.refreshed_at >= r.reported_at) IS NOT TRUE
    )
