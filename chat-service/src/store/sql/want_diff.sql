-- name: want_diff
-- Has the question of the diff of the ref $1 be wanted for $2 seconds more: someone still waits for
-- it.
UPDATE git_diffs d
SET wanted_until = now() + make_interval(secs => $2::double precision)
WHERE d.ref_id = $1
    AND d.answered < d.asked
RETURNING d.ref_id
