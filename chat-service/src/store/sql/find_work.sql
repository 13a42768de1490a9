-- name: find_work
-- Whether there is work: a budget that can be leased now, or a live lease. One index entry for each
-- lane, and the index of tokens, which has leased budgets alone.
SELECT (
    EXISTS (
        SELECT
        FROM generate_series(1, 4) AS lanes (lane)
        CROSS JOIN LATERAL (
            SELECT b.id
            FROM git_budgets b
            WHERE b.lane = lanes.lane
                AND b.queue_at <= now()
                AND (b.lease_expires_at > now()) IS NOT TRUE
            LIMIT 1
        ) AS q
    )
    OR EXISTS (
        SELECT
        FROM git_budgets b
        WHERE b.lease_token IS NOT NULL
            AND b.lease_expires_at > now()
    )
) AS is_there
