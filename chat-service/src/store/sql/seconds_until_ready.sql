-- name: seconds_until_ready
-- In how many seconds the next budget can be leased; NULL when none is planned. One index entry.
SELECT extract(epoch FROM min(b.ready_at) - clock_timestamp())::double precision AS seconds
FROM git_budgets b
WHERE b.ready_at IS NOT NULL
