-- name: requeue_named_refs
-- Makes the refs $1, which the caller has locked, due now, whatever was planned for them. An
-- outcome of a lookup that is under way leaves them due: their report_seq is raised.
UPDATE git_ref_polls p
SET report_seq = p.report_seq + 1,
    due_at = least(p.due_at, now()),
    early_at = least(p.early_at, now()),
    -- One that a person waits for in RefreshChat keeps its more urgent lane.
    lane = CASE WHEN p.due_at IS NULL THEN 3 ELSE least(p.lane, 3) END
WHERE p.ref_id = ANY($1::uuid[])
