-- name: put_off_merge
-- Has nobody look again before $2 seconds whether the budget $1, the key of a token, can be merged.
UPDATE git_budgets
SET merge_after = now() + make_interval(secs => $2::double precision)
WHERE id = $1
