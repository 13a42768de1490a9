-- name: demote_refs
-- Ends the primacy of the primary refs of the chats $1, unless it is the one that is reported:
-- provider $2, repository $3, branch $4. Still polled are those with an open pull request, and
-- those that were not looked up since their last report. The caller has locked the refs.
WITH demoted AS (
    UPDATE git_refs r
    SET is_primary = FALSE
    WHERE r.chat_id = ANY($1::uuid[])
        AND r.is_primary
        AND (r.provider_id, r.repository_key, r.git_branch)
            <> ($2::text, lower($3::text), $4::text)
    RETURNING r.id, r.reported_at, r.pull_request ->> 'state' AS state
)
UPDATE git_ref_polls p
SET due_at = NULL,
    early_at = NULL
FROM demoted d
WHERE p.ref_id = d.id
    AND p.due_at IS NOT NULL
    AND p.refreshed_at >= d.reported_at
    AND d.state IS DISTINCT FROM 'open'
