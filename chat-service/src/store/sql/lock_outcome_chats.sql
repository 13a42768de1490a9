-- name: lock_outcome_chats
-- Locks, before their refs, the chats whose filter columns the outcomes $1 (a JSON array) may
-- change: those of refs that would have another pull request, state or draft, or may need attention
-- for something else, primary or not, since a report that is waited for may make one the primary.
-- The others are not waited for.
SELECT c.id
FROM chats c
WHERE c.id = ANY (ARRAY(
        SELECT r.chat_id
        FROM jsonb_to_recordset($1::jsonb) AS o (id uuid, kind text, found jsonb)
        JOIN git_refs r ON r.id = o.id
        WHERE o.kind IN ('found', 'no_pull_request')
            AND (
                r.pull_request -> 'number', r.pull_request -> 'state', r.pull_request -> 'draft',
                r.pull_request -> 'changes_requested', r.pull_request -> 'review_decision',
                r.pull_request -> 'queue_position', r.pull_request #> '{head,sha}',
                r.pull_request #> '{head,merge_state}', r.pull_request #> '{head,checks,state}'
            ) IS DISTINCT FROM (
                o.found -> 'number', o.found -> 'state', o.found -> 'draft',
                o.found -> 'changes_requested', o.found -> 'review_decision',
                o.found -> 'queue_position', o.found #> '{head,sha}',
                o.found #> '{head,merge_state}', o.found #> '{head,checks,state}'
            )
    ))
ORDER BY c.id
FOR NO KEY UPDATE
