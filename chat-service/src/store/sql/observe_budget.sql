-- name: observe_budget
-- Notes of the budget $1, which the caller has locked, what a report said: that $2 more outcomes
-- were applied, of its windows $3 (a JSON array); that the host wants no requests for $4 seconds,
-- for the reason $5, from the lane $6 on; that the worker does not send for $7 seconds, for the
-- reason $8, from the lane $9 on; and that $10 secondary limits were met. Keeps what its refs ask
-- for ($11), if that was added up.
--
-- A window is new when its reset moved by more than half its length (two minutes where that is not
-- known). Of the same window the least that was ever seen is left, since reports may cross; an
-- older one teaches nothing. Pauses are only ever raised: no good answer ends one. A rest is
-- replaced by another; a report without one is of the lanes that the rest lets pass, and ends none.
UPDATE git_budgets b
SET leased_refs = greatest(b.leased_refs - $2::integer, 0),
    demand = coalesce($11::double precision, b.demand),
    demand_at = CASE WHEN $11::double precision IS NULL THEN b.demand_at ELSE now() END,
    windows = (
        SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                'name', w.name,
                'limit', w.allowed,
                'remaining', w.remaining,
                'reset_at', w.reset_at,
                'length_seconds', w.length_seconds,
                'paused_until', w.paused_until
            )) ORDER BY w.name), '[]')
        FROM (
            SELECT
                coalesce(s.name, k.name) AS name,
                CASE WHEN j.older THEN k.limit ELSE coalesce(s.limit, k.limit) END AS allowed,
                CASE
                    WHEN j.newer THEN s.remaining
                    WHEN j.older OR s.name IS NULL THEN k.remaining
                    ELSE least(k.remaining, s.remaining)
                END AS remaining,
                CASE WHEN j.newer THEN j.reset_at ELSE k.reset_at END AS reset_at,
                coalesce(s.length_seconds, k.length_seconds) AS length_seconds,
                greatest(
                    k.paused_until,
                    now() + make_interval(secs => s.pause_seconds)
                ) AS paused_until
            FROM jsonb_to_recordset(b.windows) AS k (
                name text, "limit" bigint, remaining bigint, reset_at timestamptz,
                length_seconds double precision, paused_until timestamptz
            )
            FULL JOIN jsonb_to_recordset($3::jsonb) AS s (
                name text, "limit" bigint, remaining bigint, reset_seconds double precision,
                length_seconds double precision, pause_seconds double precision
            ) ON s.name = k.name
            CROSS JOIN LATERAL (
                SELECT
                    r.reset_at,
                    r.reset_at > k.reset_at + r.half OR (k.reset_at IS NULL AND s.name IS NOT NULL)
                        AS newer,
                    (r.reset_at < k.reset_at - r.half) IS TRUE AS older
                FROM (
                    SELECT
                        now() + make_interval(secs => s.reset_seconds) AS reset_at,
                        make_interval(secs => coalesce(s.length_seconds, k.length_seconds, 120) / 2)
                            AS half
                ) AS r
            ) AS j
        ) AS w
    ),
    paused_until = p.until,
    pause_class = CASE WHEN p.longer THEN $5 ELSE b.pause_class END,
    -- What is paused stays so.
    pause_lane = CASE
        WHEN $4::double precision IS NULL THEN b.pause_lane
        WHEN b.paused_until > now() THEN least(b.pause_lane, $6::smallint)
        ELSE $6::smallint
    END,
    rests_until = CASE WHEN p.rests THEN b.rests_until
        ELSE now() + make_interval(secs => $7::double precision) END,
    rest_class = CASE WHEN p.rests THEN b.rest_class ELSE $8 END,
    rest_lane = CASE WHEN p.rests THEN b.rest_lane ELSE $9 END,
    secondary_strikes = CASE
        WHEN $10::integer > 0 THEN least(p.strikes + $10::integer, 100)
        ELSE b.secondary_strikes
    END,
    struck_at = CASE WHEN $10::integer > 0 THEN now() ELSE b.struck_at END,
    -- Until ten minutes after the pause.
    cautious_until = CASE
        WHEN $10::integer > 0
            THEN greatest(b.cautious_until, greatest(p.until, now()) + interval '10 minutes')
        ELSE b.cautious_until
    END
FROM (
    SELECT
        k.id,
        greatest(k.paused_until, m.until) AS until,
        (m.until > coalesce(k.paused_until, '-infinity')) IS TRUE AS longer,
        (k.rests_until > now() AND $7::double precision IS NULL) IS TRUE AS rests,
        greatest(
            k.secondary_strikes - floor(extract(epoch FROM now() - k.struck_at) / 3600),
            0
        )::integer AS strikes
    FROM git_budgets k
    CROSS JOIN LATERAL (
        SELECT now() + make_interval(secs => $4::double precision) AS until
    ) AS m
    WHERE k.id = $1
) AS p
WHERE b.id = p.id
