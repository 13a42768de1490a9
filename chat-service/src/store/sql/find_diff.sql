-- name: find_diff
-- The primary ref of the chat $1, and the diff that was asked of it last: how many questions there
-- were and which was answered, with what. `current`: the answer is given to those who ask now,
-- since it is of the ref's last report, the account's credential and the head as it is known; or it
-- came just now, and the outcome that has the head is on its way. `planned`: a lookup is to come.
-- Why none can come now, and for how many seconds: the account has no usable credential, or the
-- budget spends nothing even for a person. No row: the chat has no ref, or does not exist.
SELECT
    r.id,
    r.git_remote_origin,
    r.git_branch,
    a.budget_id,
    (p.due_at <= now()) IS TRUE AS planned,
    coalesce(d.asked, 0) AS asked,
    coalesce(d.answered, 0) AS answered,
    (
        d.answered = d.asked
        AND d.expires_at > now()
        AND d.report_seq = p.report_seq
        AND d.generation = a.generation
        AND (
            d.result <> 'found'
            OR d.fetched_at > now() - interval '5 seconds'
            OR d.head_sha IS NOT DISTINCT FROM r.pull_request #>> '{head,sha}'
        )
    ) IS TRUE AS current,
    d.result,
    d.problem_class,
    extract(epoch FROM d.retry_at - now())::double precision AS retry_seconds,
    d.pr_number,
    d.base_branch,
    d.head_sha,
    d.fetched_at,
    octet_length(d.content) AS size,
    a.withheld_class,
    extract(epoch FROM a.withheld_until - now())::double precision AS withheld_seconds
FROM git_refs r
JOIN git_ref_polls p ON p.ref_id = r.id
JOIN git_account_states a ON a.id = p.account_id
LEFT JOIN git_diffs d ON d.ref_id = r.id
WHERE r.chat_id = $1
    AND r.is_primary
