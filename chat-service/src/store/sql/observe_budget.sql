-- name: observe_budget
-- Notes of the budget $1 what the host said: limit $2, remaining $3, seconds until its reset $4, and
-- seconds $5 during which nothing may be sent. NULL: not said. A pause is only ever raised.
UPDATE git_budgets
SET rest_limit = coalesce($2, rest_limit),
    rest_remaining = coalesce($3, rest_remaining),
    rest_reset_at = coalesce(
        now() + make_interval(secs => $4::double precision),
        rest_reset_at
    ),
    paused_until = greatest(
        paused_until,
        now() + make_interval(secs => $5::double precision)
    )
WHERE id = $1
