-- name: evict_diffs
-- Forgets the answers of the account that the ref $1 belongs to beyond its last $2 and beyond $3
-- bytes of diffs, the oldest first and never that of $1. A question that is wanted stays without
-- its last answer.
DELETE FROM git_diffs d
USING (
    SELECT
        o.ref_id,
        row_number() OVER newest AS number,
        sum(octet_length(o.content)) OVER newest AS bytes
    FROM git_diffs o
    WHERE o.account_id = (SELECT f.account_id FROM git_diffs f WHERE f.ref_id = $1)
        AND o.result IS NOT NULL
    WINDOW newest AS (ORDER BY o.ref_id = $1 DESC, o.fetched_at DESC, o.ref_id)
) AS k
WHERE d.ref_id = k.ref_id
    AND d.ref_id <> $1
    AND (k.number > $2::bigint OR k.bytes > $3::bigint)
RETURNING d.ref_id
