-- name: settle_budgets
-- Sets when the budgets $1 are due, when the first of their refs is, and whether somebody waits for
-- one that is due. With $2, also ends their leases. The caller has locked their rows, in an earlier statement, so that this one sees every
-- ref that somebody made due before: whoever does locks the budget's row, too.
UPDATE git_budgets b
SET next_due_at = (
        SELECT min(first.due_at)
        FROM generate_series(1, 4) AS lanes (lane)
        CROSS JOIN LATERAL (
            SELECT s.due_at
            FROM chat_diff_statuses s
            WHERE s.budget_id = b.id
                AND s.lane = lanes.lane
                AND s.due_at IS NOT NULL
            ORDER BY s.due_at
            LIMIT 1
        ) AS first
    ),
    interactive_since = CASE
        WHEN EXISTS (
            SELECT
            FROM chat_diff_statuses s
            WHERE s.budget_id = b.id
                AND s.lane = 1
                AND s.due_at <= now()
        ) THEN coalesce(b.interactive_since, now())
    END,
    lease_token = CASE WHEN $2::boolean THEN NULL ELSE b.lease_token END,
    lease_expires_at = CASE WHEN $2::boolean THEN NULL ELSE b.lease_expires_at END,
    lease_worker = CASE WHEN $2::boolean THEN NULL ELSE b.lease_worker END,
    lease_request_id = CASE WHEN $2::boolean THEN NULL ELSE b.lease_request_id END
WHERE b.id = ANY($1::uuid[])
