-- name: observe_credentials
-- Notes what the host thinks of the credentials $2 (a JSON array) of the budget $1, whose lease the
-- caller has locked. One that spends another budget by now was replaced, and what was learned of the
-- former token is not this one's. One that is rejected stays so until another is linked. Returns
-- those with which nothing may be sent now.
WITH observed AS (
    UPDATE git_accounts a
    SET credential_state = o.state,
        confirm_after = CASE
            WHEN o.state = 'suspect' THEN now() + make_interval(secs => o.confirm_seconds)
        END
    FROM jsonb_to_recordset($2::jsonb) AS o (
        id uuid, state text, confirm_seconds double precision
    )
    WHERE a.id = o.id
        AND a.budget_id = $1
        AND a.credential_state <> 'rejected'
    RETURNING a.id, a.credential_state
)
SELECT o.id
FROM observed o
WHERE o.credential_state <> 'accepted'
