-- name: view_refs
-- Notes that a person views the chats of the refs $1, which the caller has locked, for $2 seconds
-- from now. What is planned is due $3 seconds after its last refresh at the latest, in the viewed
-- lane; returns the accounts of which that changed something. What was just reported is due as it
-- is: its budget is not kept from the workers for this. Settled pull requests, those that have a
-- problem of their own, and those whose credential the host refuses keep their time: looking at
-- them changes nothing. A host that did not answer may be back.
WITH viewed AS MATERIALIZED (
    SELECT
        p.ref_id,
        p.account_id,
        m.moment,
        (
            coalesce(r.problem_class, 'host_unavailable')
                IN ('host_unavailable', 'host_answer_invalid')
            AND coalesce(r.pull_request ->> 'state', 'open') = 'open'
            AND a.credential_state = 'accepted'
            AND (p.due_at > m.moment OR (p.due_at IS NOT NULL AND p.lane = 4))
        ) IS TRUE AS urgent
    FROM git_ref_polls p
    JOIN git_refs r ON r.id = p.ref_id
    JOIN git_accounts a ON a.id = p.account_id
    CROSS JOIN LATERAL (
        SELECT greatest(
            now(),
            coalesce(p.refreshed_at, r.reported_at) + make_interval(secs => $3::double precision)
        ) AS moment
    ) AS m
    WHERE p.ref_id = ANY($1::uuid[])
), noted AS (
    UPDATE git_ref_polls p
    SET viewed_until = now() + make_interval(secs => $2::double precision),
        due_at = CASE WHEN v.urgent THEN least(p.due_at, v.moment) ELSE p.due_at END,
        early_at = CASE WHEN v.urgent THEN least(p.early_at, v.moment) ELSE p.early_at END,
        lane = CASE WHEN v.urgent THEN least(p.lane, 2) ELSE p.lane END
    FROM viewed v
    WHERE p.ref_id = v.ref_id
)
SELECT DISTINCT v.account_id AS id
FROM viewed v
WHERE v.urgent
