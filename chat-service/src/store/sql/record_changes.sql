-- name: record_changes
-- Raises what the refs $1, which the caller has locked, need attention for; $2 are those of them
-- whose head was not known before. Records an event for each chat of these of which something is
-- raised, and of the refs $3, which are shown differently. Returns a row for each event.
--
-- What was raised for a head is not raised for it again, and a review not for a later head either:
-- who pushes because of it would be woken by the push. Checks begin a moment after a push: that a
-- commit has none, and is ready, is believed of one that was known before.
WITH raised AS (
    INSERT INTO git_ref_attentions AS a (ref_id, kind, head_sha, review_ids)
    SELECT r.id, k.kind, h.sha, h.review_ids
    FROM git_refs r
    CROSS JOIN unnest('{1, 2, 4, 8}'::smallint[]) AS k (kind)
    CROSS JOIN LATERAL (
        SELECT
            coalesce(r.pull_request #>> '{head,sha}', '') AS sha,
            CASE
                WHEN k.kind = 2 THEN coalesce(r.pull_request -> 'change_requests', '[]')
                ELSE '[]'
            END AS review_ids
    ) AS h
    WHERE r.id = ANY($1::uuid[])
        AND r.attention & k.kind > 0
        AND (
            k.kind < 8
            OR r.id <> ALL($2::uuid[])
            OR r.pull_request #>> '{head,checks,state}' = 'passing'
        )
        AND NOT EXISTS (
            SELECT FROM git_ref_attentions o
            WHERE o.ref_id = r.id
                AND o.kind = k.kind
                AND (
                    o.head_sha = h.sha
                    OR (h.review_ids <> '[]' AND h.review_ids <@ o.review_ids)
                )
        )
    ON CONFLICT ON CONSTRAINT git_ref_attentions_pkey DO UPDATE
    SET head_sha = excluded.head_sha,
        review_ids = excluded.review_ids,
        raised_at = excluded.raised_at
    RETURNING a.ref_id
), news AS (
    SELECT w.ref_id, TRUE AS is_raised
    FROM raised w
    UNION ALL
    SELECT n.ref_id, FALSE
    FROM unnest($3::uuid[]) AS n (ref_id)
)
INSERT INTO change_events (chat_id, kind)
SELECT
    r.chat_id,
    CASE WHEN bool_or(n.is_raised) THEN 'attention' ELSE 'diff_status_changed' END
FROM news n
JOIN git_refs r ON r.id = n.ref_id
GROUP BY r.chat_id
RETURNING id
