-- name: apply_outcomes
-- Applies the outcomes $2 (a JSON array) to refs that spend the budget of the lease $1, each with
-- its next due time. Returns the result of each, whether it is news to readers, what it needs
-- attention for and, for applied ones, the lateness by lane; an outcome without a row spends
-- another budget or was looked up since. The caller has locked all, and proves the lease last.
--
-- An outcome of before the last report, or of a replaced credential, is superseded: it is applied
-- only if it found a pull request, and leaves the ref due and RefreshChat waiting. A failure never
-- touches what is known, nor does an older status of it, by the host's clock (outdated).
-- "Unchanged" fails where nothing is known. Due stays what is primary, or open, or was not looked
-- up since its last report, and nothing of an archived chat. Only visible changes are news.
WITH judged AS (
    SELECT o.*, t.*, r.chat_id, r.is_primary, c.archived, r.pull_request AS known,
        r.problem_class AS known_problem, r.attention AS needed, p.due_at AS was_due_at,
        p.lane AS due_lane, r.reported_at - interval '1 us' AS before_report,
        CASE
            WHEN o.kind = 'found' AND (t.same AND t.host_updated_at < r.pr_updated_at) IS NOT TRUE
                THEN 'found'
            WHEN NOT t.current THEN 'superseded'
            WHEN o.kind = 'found' THEN 'outdated'
            WHEN o.kind = 'unchanged' AND r.pull_request IS NULL THEN 'failed'
            ELSE o.kind
        END AS effect
    FROM jsonb_to_recordset($2::jsonb) AS o (
        id uuid, report_seq bigint, looks bigint, generation bigint, kind text, found jsonb,
        repository text, host_id text, updated_at timestamptz, problem_class text, upstream text,
        canonical text, fingerprint text, next_seconds float8, next_lane smallint, base_seconds real
    )
    JOIN git_ref_polls p ON p.ref_id = o.id
    JOIN git_refs r ON r.id = o.id JOIN chats c ON c.id = r.chat_id
    JOIN git_accounts a ON a.id = p.account_id
    -- A rename changes the repository, not the id; a host without ids has only number and
    -- repository. A host's clock may be ahead: a wrong answer must not outdate all later ones.
    CROSS JOIN LATERAL (
        SELECT (r.pr_host_id = o.host_id OR (
                r.pull_request -> 'number' = o.found -> 'number'
                AND lower(r.pr_repository) = lower(o.repository)
            )) IS TRUE AS same,
            p.report_seq = o.report_seq AND a.generation = o.generation AS current,
            least(o.updated_at, now() + interval '1 hour') AS host_updated_at
    ) AS t
    -- In this form it is no condition for an index: the refs are found by their ids.
    WHERE (a.budget_id = (SELECT b.id FROM git_budgets b WHERE b.lease_token = $1)) IS TRUE
        AND p.looks = o.looks
        AND p.report_seq >= o.report_seq
), planned AS (
    SELECT j.*, k.*, k.shown IS DISTINCT FROM j.known AS differs, k.shown ->> 'state' AS state,
        (k.shown ->> 'number')::integer AS number, (k.shown ->> 'draft')::boolean AS draft,
        j.effect = 'found' AND j.host_updated_at > r.pr_updated_at AS moved,
        CASE j.effect WHEN 'failed' THEN coalesce(j.problem_class, 'internal')
            WHEN 'gone' THEN 'pull_request_gone'
            WHEN 'superseded' THEN j.known_problem END AS problem,
        coalesce(j.upstream, r.upstream_repository) AS new_upstream,
        -- The last report may be of another repository that took the old path.
        coalesce(CASE WHEN j.current THEN j.canonical END, r.canonical_repository) AS new_canonical
    FROM judged j
    JOIN git_refs r ON r.id = j.id
    CROSS JOIN LATERAL (
        -- What a later release knows of it stays, but for what belongs to a head that has moved.
        SELECT
            jsonb_strip_nulls(
                CASE WHEN j.same THEN j.known ELSE '{}' END || j.found || jsonb_build_object('head',
                    CASE WHEN j.same AND j.known #> '{head,sha}' = j.found #> '{head,sha}'
                        THEN j.known -> 'head' ELSE '{}' END || (j.found -> 'head'))),
            j.repository,
            coalesce(j.host_id, CASE WHEN j.same THEN r.pr_host_id END),
            greatest(CASE WHEN j.same THEN r.pr_updated_at END, j.host_updated_at)
        WHERE j.effect = 'found'
        UNION ALL
        SELECT r.pull_request, r.pr_repository, r.pr_host_id, r.pr_updated_at
        WHERE j.effect NOT IN ('found', 'no_pull_request')
        UNION ALL
        SELECT NULL, NULL, NULL, NULL WHERE j.effect = 'no_pull_request'
    ) AS k (shown, pr_repository, pr_host_id, pr_updated_at)
), polled AS (
    UPDATE git_ref_polls p
    SET looks = p.looks + 1, outcome_seq = p.outcome_seq + n.current::integer,
        due_at = CASE WHEN n.current THEN d.due_at ELSE p.due_at END,
        early_at = CASE WHEN n.current THEN d.due_at - (d.due_at - now()) / 4 ELSE p.early_at END,
        lane = CASE WHEN n.current THEN n.next_lane ELSE p.lane END,
        failures = CASE n.effect WHEN 'failed' THEN p.failures + 1
            WHEN 'superseded' THEN p.failures ELSE 0 END,
        misses = CASE WHEN n.effect IN ('failed', 'superseded') THEN p.misses
            WHEN n.effect IN ('no_pull_request', 'gone') THEN p.misses + 1 ELSE 0 END,
        settled_count = CASE
            WHEN n.effect IN ('failed', 'superseded', 'gone') THEN p.settled_count
            WHEN (n.state <> 'open') IS NOT TRUE THEN 0
            WHEN n.effect = 'outdated' OR NOT n.current THEN p.settled_count
            WHEN n.effect = 'found' AND NOT (n.same AND n.state = n.known ->> 'state') THEN 1
            ELSE p.settled_count + 1 END,
        unchanged_count = CASE WHEN n.effect = 'unchanged' THEN p.unchanged_count + 1
            WHEN n.effect IN ('failed', 'superseded', 'outdated') THEN p.unchanged_count ELSE 0 END,
        fingerprint = CASE WHEN n.effect IN ('superseded', 'outdated') THEN p.fingerprint
            ELSE coalesce(n.fingerprint, CASE WHEN d.keeps THEN p.fingerprint END) END,
        refreshed_at = CASE WHEN n.current AND n.effect NOT IN ('failed', 'gone') THEN now()
            WHEN n.effect = 'found' THEN greatest(p.refreshed_at, n.before_report)
            ELSE p.refreshed_at END,
        found_at = CASE WHEN n.effect <> 'found' THEN p.found_at WHEN n.current THEN now()
            ELSE n.before_report END,
        changed_at = CASE WHEN n.effect = 'found' AND NOT n.same
            THEN least(n.host_updated_at, now())
            WHEN n.differs OR n.moved THEN now() ELSE p.changed_at END,
        base_interval_seconds = CASE WHEN n.current THEN n.base_seconds
            ELSE p.base_interval_seconds END,
        traceparent = CASE WHEN NOT n.current THEN p.traceparent END
    FROM planned n
    CROSS JOIN LATERAL (
        SELECT CASE WHEN NOT n.archived AND (n.is_primary OR n.state = 'open'
                OR n.effect IN ('failed', 'gone'))
                THEN now() + make_interval(secs => n.next_seconds) END AS due_at,
            n.effect <> 'no_pull_request' AND (n.effect <> 'found' OR n.same) AS keeps
    ) AS d
    WHERE p.ref_id = n.id
), shown AS (
    UPDATE git_refs r
    SET pull_request = n.shown, pr_repository = n.pr_repository, pr_host_id = n.pr_host_id,
        pr_updated_at = n.pr_updated_at, upstream_repository = n.new_upstream,
        canonical_repository = n.new_canonical, problem_class = n.problem,
        problem_since = CASE WHEN n.problem = r.problem_class THEN r.problem_since
            WHEN n.problem IS NOT NULL THEN now() END
    FROM planned n WHERE r.id = n.id
        AND (r.pull_request, r.pr_repository, r.pr_host_id, r.pr_updated_at, r.problem_class,
            r.upstream_repository, r.canonical_repository)
            IS DISTINCT FROM (n.shown, n.pr_repository, n.pr_host_id, n.pr_updated_at, n.problem,
            n.new_upstream, n.new_canonical)
    RETURNING r.id, r.attention
), filtered AS (
    UPDATE chats c
    SET primary_pr_number = n.number, primary_pr_state = n.state, primary_pr_draft = n.draft,
        primary_attention = s.attention
    FROM planned n JOIN shown s ON s.id = n.id WHERE c.id = n.chat_id AND n.is_primary
        AND (c.primary_pr_number, c.primary_pr_state, c.primary_pr_draft, c.primary_attention)
            IS DISTINCT FROM (n.number, n.state, n.draft, s.attention)
    RETURNING c.id, c.list_pr, c.primary_attention
), shared AS (
    UPDATE chat_acl a SET chat_pr = f.list_pr, chat_attention = f.primary_attention
    FROM filtered f WHERE a.chat_id = f.id
        AND (a.chat_pr, a.chat_attention) <> (f.list_pr, f.primary_attention)
)
SELECT n.id, n.effect = 'found' AND NOT n.same AS is_another,
    CASE WHEN NOT n.current THEN 'superseded' WHEN n.kind = 'unchanged' AND n.effect = 'failed'
        THEN 'rejected' ELSE 'applied' END AS status,
    n.effect = 'found' AND n.differs AND n.pr_host_id IS NOT NULL AS seen_to_change,
    n.problem IS NULL AND n.known_problem IS NOT NULL AS is_healed, n.due_lane,
    CASE WHEN n.current AND n.was_due_at IS NOT NULL
        THEN greatest(extract(epoch FROM now() - n.was_due_at), 0)::float8 END AS late_seconds,
    n.differs OR n.problem IS DISTINCT FROM n.known_problem AS is_news,
    coalesce(s.attention, n.needed) AS attention,
    (n.known #> '{head,sha}' = n.shown #> '{head,sha}') IS NOT TRUE AS is_new_head
FROM planned n LEFT JOIN shown s ON s.id = n.id
