-- name: make_refs_due
-- Makes all refs due, as after an outage of their host. Writing the rows takes seconds, which do
-- not count as waiting: the budgets become due later.
UPDATE git_ref_polls p
SET due_at = now(),
    early_at = now(),
    lane = 4
