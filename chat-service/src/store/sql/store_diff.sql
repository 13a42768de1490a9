-- name: store_diff
-- Answers the question of the diff of the ref $2 under the lease $1, if one is wanted and the fence
-- ($3 reports, $4 looks, the credential's generation $5) is the ref's now: what is answered then is
-- of the last report and with the account's credential. Returns the ref if so. The caller has
-- locked the ref.
--
-- $6 to $8 are the result, its class, and for how many seconds the host wants no request; $9 the
-- number of the pull request, $10 its base and $11 its head, NULL where they are as they are known;
-- $12 the diff. It is given to those who ask within $13 seconds.
UPDATE git_diffs d
SET answered = d.asked,
    report_seq = p.report_seq,
    generation = a.generation,
    head_sha = coalesce(
        $11::text,
        CASE WHEN $9::integer IS NOT NULL THEN r.pull_request #>> '{head,sha}' END
    ),
    result = $6::text,
    problem_class = $7::text,
    retry_at = now() + make_interval(secs => $8::double precision),
    pr_number = $9::integer,
    base_branch = coalesce(
        $10::text,
        CASE WHEN $9::integer IS NOT NULL THEN r.pull_request ->> 'base_branch' END
    ),
    content = $12::bytea,
    fetched_at = now(),
    expires_at = now() + make_interval(secs => $13::double precision)
FROM git_ref_polls p
JOIN git_refs r ON r.id = p.ref_id
JOIN git_accounts a ON a.id = p.account_id
JOIN git_budgets b ON b.id = a.budget_id
WHERE d.ref_id = $2
    AND d.answered < d.asked
    AND p.ref_id = d.ref_id
    AND p.report_seq = $3::bigint
    AND p.looks = $4::bigint
    AND a.generation = $5::bigint
    AND b.lease_token = $1
RETURNING d.ref_id
