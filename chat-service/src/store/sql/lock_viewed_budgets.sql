-- name: lock_viewed_budgets
-- Locks, in the order of their ids, the budgets of what is to be looked at sooner, or more urgently,
-- since somebody views the chats $1: planned refs without a problem, whose pull request is open or not
-- known, due later than $2 seconds after their last refresh or in the idle lane. Not those of a paused
-- budget, or of a credential that the host refuses. What was just reported is due as it is: its budget
-- is not kept from the workers for this.
SELECT b.id
FROM git_budgets b
WHERE (b.paused_until > now()) IS NOT TRUE
    AND b.id IN (
        SELECT s.budget_id
        FROM chat_diff_statuses s
        LEFT JOIN git_accounts a ON a.user_id = s.owner_id AND a.provider_id = s.provider_id
        WHERE s.chat_id = ANY($1::uuid[])
            AND s.due_at IS NOT NULL
            AND s.problem_class IS NULL
            AND coalesce(s.pull_request_state, 'open') = 'open'
            AND coalesce(a.credential_state, 'accepted') = 'accepted'
            AND (
                s.lane = 4
                OR s.due_at > greatest(
                    now(),
                    coalesce(s.refreshed_at, s.reported_at)
                        + make_interval(secs => $2::double precision)
                )
            )
    )
ORDER BY b.id
FOR UPDATE
