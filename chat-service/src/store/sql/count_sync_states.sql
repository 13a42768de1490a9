-- name: count_sync_states
-- How it stands with leases, pauses and credentials, over all replicas: how many leases are live;
-- how many of the first $2 budgets of each lane of the queue are paused or rest, by class; and how
-- many accounts have a credential, one that the host refused, or one that is rejected. Each is
-- counted up to $1, by provider. Reads the index of leases, that of the queue, that of accounts
-- with a budget, and that of refused credentials.
SELECT 'lease' AS kind, l.provider_id, 'live' AS state, count(*) AS number
FROM (
    SELECT b.provider_id
    FROM git_budgets b
    WHERE b.lease_token IS NOT NULL
        AND b.lease_expires_at > now()
    LIMIT $1
) AS l
GROUP BY l.provider_id
UNION ALL
SELECT 'pause', q.provider_id, q.class, count(*)
FROM generate_series(1, 4) AS lanes (lane)
CROSS JOIN LATERAL (
    SELECT
        b.provider_id,
        CASE
            WHEN b.paused_until > now() THEN b.pause_class
            WHEN b.rests_until > now() THEN b.rest_class
        END AS class
    FROM git_budgets b
    WHERE b.lane = lanes.lane
        AND b.queue_at IS NOT NULL
    ORDER BY b.queue_at
    LIMIT $2
) AS q
WHERE q.class IS NOT NULL
GROUP BY q.provider_id, q.class
UNION ALL
SELECT 'credential', a.provider_id, 'linked', count(*)
FROM (
    SELECT k.provider_id
    FROM git_accounts k
    WHERE k.budget_id IS NOT NULL
    LIMIT $1
) AS a
GROUP BY a.provider_id
UNION ALL
SELECT 'credential', r.provider_id, r.credential_state, count(*)
FROM (
    SELECT k.provider_id, k.credential_state
    FROM git_accounts k
    WHERE k.retry_at IS NOT NULL
    LIMIT $1
) AS r
GROUP BY r.provider_id, r.credential_state
