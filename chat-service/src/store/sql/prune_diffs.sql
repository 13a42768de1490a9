-- name: prune_diffs
-- Forgets up to $1 diffs that are not wanted, and whose answers have been given to no more callers
-- for $2 seconds: in that time those who began to read one have read it.
DELETE FROM git_diffs
WHERE ref_id IN (
    SELECT d.ref_id
    FROM git_diffs d
    WHERE d.wanted_until < now()
        AND (d.expires_at > now() - make_interval(secs => $2::double precision)) IS NOT TRUE
    ORDER BY d.ref_id
    LIMIT $1
)
RETURNING ref_id
