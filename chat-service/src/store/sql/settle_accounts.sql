-- name: settle_accounts
-- Sets lane and due time of the accounts $1 from their most urgent refs. The caller has locked the
-- accounts' rows in an earlier statement, so that this one sees every ref that was made due before:
-- a transaction that makes one due locks the account's row, too.
--
-- The lane is the most urgent one of what is due when the first ref is. A suspect credential is not
-- tried before its retry time, an expired one not before it was renewed, and one that can be
-- neither used nor renewed not at all.
UPDATE git_accounts a
SET lane = f.lane,
    next_due_at = f.next_due_at
FROM (
    SELECT
        k.id,
        coalesce(min(first.lane) FILTER (WHERE first.due_at <= first.horizon), 4)::smallint AS lane,
        CASE
            WHEN k.credential_state = 'rejected' AND k.retry_at IS NULL THEN NULL
            WHEN min(first.due_at) IS NOT NULL
                THEN greatest(min(first.due_at), k.retry_at, k.held_until)
        END AS next_due_at
    FROM git_accounts k
    LEFT JOIN LATERAL (
        SELECT
            p.lane,
            p.due_at,
            greatest(min(p.due_at) OVER (), k.retry_at, k.held_until, now()) AS horizon
        FROM generate_series(1, 4) AS lanes (lane)
        CROSS JOIN LATERAL (
            SELECT r.lane, r.due_at
            FROM git_ref_polls r
            WHERE r.account_id = k.id
                AND r.lane = lanes.lane
                AND r.due_at IS NOT NULL
            ORDER BY r.due_at
            LIMIT 1
        ) AS p
    ) AS first ON TRUE
    WHERE k.id = ANY($1::uuid[])
    GROUP BY k.id, k.retry_at, k.held_until, k.credential_state
) AS f
WHERE a.id = f.id
    AND (a.lane, a.next_due_at) IS DISTINCT FROM (f.lane, f.next_due_at)
