-- name: raise_pauses
-- Has every pause of the budget $1 that is in force hold for the budget $2, too: of the budget as a
-- whole and of each window. Both are the same spender's, or one's former and next. The caller has
-- locked both. No pause of $2 ends earlier for it.
UPDATE git_budgets b
SET paused_until = p.paused_until,
    pause_class = p.pause_class,
    pause_lane = p.pause_lane,
    secondary_strikes = greatest(b.secondary_strikes, f.secondary_strikes),
    struck_at = greatest(b.struck_at, f.struck_at),
    cautious_until = greatest(b.cautious_until, f.cautious_until),
    windows = p.windows
FROM git_budgets f
CROSS JOIN LATERAL (
    SELECT
        greatest(o.paused_until, n.until) AS paused_until,
        CASE
            WHEN n.until > coalesce(o.paused_until, '-infinity') THEN f.pause_class
            ELSE o.pause_class
        END AS pause_class,
        least(
            CASE WHEN o.paused_until > now() OR n.until IS NULL THEN o.pause_lane END,
            CASE WHEN n.until IS NOT NULL THEN f.pause_lane END
        ) AS pause_lane,
        (
            SELECT coalesce(jsonb_agg(jsonb_strip_nulls(
                coalesce(k.entry, '{}') || jsonb_build_object(
                    'name', coalesce(k.entry ->> 'name', s.entry ->> 'name'),
                    'paused_until', greatest(
                        (k.entry ->> 'paused_until')::timestamptz,
                        (s.entry ->> 'paused_until')::timestamptz
                    )
                )
            )), '[]')
            FROM jsonb_array_elements(o.windows) AS k (entry)
            FULL JOIN (
                SELECT e.entry
                FROM jsonb_array_elements(f.windows) AS e (entry)
                WHERE (e.entry ->> 'paused_until')::timestamptz > now()
            ) AS s ON s.entry ->> 'name' = k.entry ->> 'name'
        ) AS windows
    FROM git_budgets o
    CROSS JOIN LATERAL (
        SELECT CASE WHEN f.paused_until > now() THEN f.paused_until END AS until
    ) AS n
    WHERE o.id = $2
) AS p
WHERE f.id = $1
    AND b.id = $2
