-- name: move_refs
-- Moves the refs of the user $1 at the provider $2 to the budget $3, whose row and whose former
-- budgets' rows the caller has locked: the first $6 by id after $5, of those that it changes something of.
-- Returns how many, and the last.
--
-- With $4 (an account was linked): a ref whose last lookup failed for want of a credential that would
-- do, or whose lookup with the former credential is under way, is due at once. The latter's report_seq
-- is raised, so that what the former credential could not see does not end the need to look. Validators
-- are forgotten: they were given to the former token.
WITH moved AS (
    SELECT s.id, f.under_way, f.due
    FROM chat_diff_statuses s
    JOIN git_budgets b ON b.id = s.budget_id
    JOIN chats c ON c.id = s.chat_id
    CROSS JOIN LATERAL (
        SELECT
            ($4::boolean AND b.lease_token = s.lease_token AND b.lease_expires_at > now())
                IS TRUE AS under_way,
            (
                $4::boolean
                AND (s.is_primary OR s.pull_request_state = 'open')
                AND NOT c.archived
                AND (
                    s.problem_class IN (
                        'no_account', 'credential_rejected', 'credential_suspect',
                        'account_locked', 'access_denied', 'sso_required',
                        'repository_not_found', 'internal'
                    )
                    OR (b.lease_token = s.lease_token AND b.lease_expires_at > now())
                )
            ) IS TRUE AS due
    ) AS f
    WHERE s.owner_id = $1
        AND s.provider_id = $2
        -- In the order of the ids, but not by their index, which has everybody's.
        AND uuid_send(s.id) > uuid_send($5::uuid)
        AND (
            s.budget_id <> $3::uuid
            OR f.under_way
            OR f.due
            OR ($4::boolean AND s.validator IS NOT NULL)
        )
    ORDER BY uuid_send(s.id)
    LIMIT $6
    FOR UPDATE OF s
), written AS (
    UPDATE chat_diff_statuses s
    SET budget_id = $3::uuid,
        -- A lease that held it settles another budget.
        lease_token = CASE WHEN s.budget_id = $3::uuid THEN s.lease_token END,
        validator = CASE WHEN NOT $4::boolean THEN s.validator END,
        report_seq = s.report_seq + m.under_way::int,
        due_at = CASE WHEN m.due THEN now() ELSE s.due_at END,
        early_at = CASE WHEN m.due THEN now() ELSE s.early_at END,
        lane = CASE WHEN m.due THEN least(s.lane, 3) ELSE s.lane END
    FROM moved m
    WHERE s.id = m.id
)
SELECT
    (SELECT count(*) FROM moved) AS refs,
    (SELECT m.id FROM moved m ORDER BY m.id DESC LIMIT 1) AS last
