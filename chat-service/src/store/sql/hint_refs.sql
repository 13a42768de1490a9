-- name: hint_refs
-- Makes the refs $1, which the caller has locked with their accounts, due within 5 s, each at a
-- moment of its own, so that one change does not wake all budgets at once. An outcome of a lookup
-- that is under way may not know of the change, and leaves the ref due: its report_seq is raised.
-- No pause is lifted. With $2 the branch itself is asked about, as after a report: found_at goes
-- back to before the last one.
UPDATE git_ref_polls p
SET report_seq = p.report_seq + 1,
    due_at = least(p.due_at, m.due_at),
    early_at = least(p.early_at, m.due_at),
    lane = least(p.lane, 3),
    found_at = CASE
        WHEN $2::boolean THEN least(p.found_at, r.reported_at - interval '1 us')
        ELSE p.found_at
    END
FROM git_refs r
JOIN chats c ON c.id = r.chat_id
CROSS JOIN LATERAL (
    SELECT now() + random() * interval '5 seconds' AS due_at
    WHERE r.id IS NOT NULL
) AS m
WHERE p.ref_id = ANY($1::uuid[])
    AND r.id = p.ref_id
    AND r.problem_class IS NULL
    AND NOT c.archived
    AND (r.is_primary OR r.pull_request ->> 'state' = 'open')
RETURNING p.ref_id
