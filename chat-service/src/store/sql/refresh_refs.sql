-- name: refresh_refs
-- Makes the polled refs of the chat $1, except those of $2, due now, as those that a person waits
-- for. Returns all of them, with how many answers each has had, and the budget that its lookup
-- spends. A ref that cannot be looked up now keeps its lane and time: its account has no usable
-- credential, or its budget spends nothing even for a person. The caller has locked the refs and
-- their accounts.
--
-- A ref of an archived chat is made due, too: it is looked up once, and its outcome plans nothing
-- more. The lookup continues the trace $3, or where that is NULL the one of a person who waits
-- already.
WITH polled AS (
    SELECT
        r.id,
        p.outcome_seq,
        a.budget_id,
        a.withheld_class IS NULL AS ready
    FROM git_refs r
    JOIN git_ref_polls p ON p.ref_id = r.id
    JOIN git_account_states a ON a.id = p.account_id
    WHERE r.chat_id = $1
        AND r.id <> ALL($2::uuid[])
        AND (
            r.is_primary
            OR r.pull_request ->> 'state' = 'open'
            OR (p.refreshed_at >= r.reported_at) IS NOT TRUE
        )
), made AS (
    UPDATE git_ref_polls p
    SET lane = 1,
        due_at = least(p.due_at, now()),
        early_at = least(p.early_at, now()),
        traceparent = coalesce($3::text, p.traceparent)
    FROM polled o
    WHERE p.ref_id = o.id
        AND o.ready
)
SELECT o.id, o.outcome_seq, o.budget_id
FROM polled o
