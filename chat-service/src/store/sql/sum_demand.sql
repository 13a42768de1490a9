-- name: sum_demand
-- What the refs of the budget of the lease $1 ask for at their base intervals, from the first
-- 5,000: refs a second. No row: it was added up less than a minute ago. It is read before anything
-- is locked, since a budget may have very many accounts.
SELECT (
    SELECT coalesce(sum(1 / planned.base_interval_seconds), 0)::double precision
    FROM (
        SELECT r.base_interval_seconds
        FROM git_accounts a
        JOIN git_ref_polls r ON r.account_id = a.id
        WHERE a.budget_id = b.id
            AND a.next_due_at IS NOT NULL
            AND r.due_at IS NOT NULL
        LIMIT 5000
    ) AS planned
) AS demand
FROM git_budgets b
WHERE b.lease_token = $1
    AND (b.demand_at > now() - interval '1 minute') IS NOT TRUE
