-- name: apply_outcomes
-- Applies the outcomes $2 (a JSON array) to the refs that the lease $1 holds, in the order of their
-- ids, each with its change event and its next due time. Returns the refs that took an outcome; one
-- that is missing is not of this lease, or has had its outcome. The caller has locked the lease.
--
-- An outcome of an older report (superseded) is applied only if it found a pull request, and leaves
-- the ref due and RefreshChat waiting. A failure never touches what is known, and neither does a
-- status of the known pull request that is older, by the host's clock, than what is known of it
-- (outdated). One that is unchanged confirms what is known; where nothing is, it is no outcome, and
-- the ref is missing from the answer. Only the primary ref and those with an open pull request stay
-- due, and none of an archived chat. An event is recorded only when what a reader sees changed;
-- having looked again is no change.
WITH outcome AS (
    SELECT
        o.id, o.report_seq, o.kind, o.next_seconds, o.next_lane, o.upstream_repository,
        o.repository, o.number, o.url, o.state, o.draft, o.title, o.changes_requested, o.approved,
        o.reviewer_count, o.additions, o.deletions, o.changed_files, o.commits, o.head_branch,
        o.base_branch, o.head_sha, o.author_login, o.author_avatar_url, o.node_id,
        o.problem_class, o.retry_seconds, o.base_seconds, o.fingerprint, o.validator,
        o.canonical_repository,
        -- By the host's clock, which may be ahead; a wrong answer must not outdate all later ones.
        least(o.updated_at, now() + interval '1 hour') AS updated_at
    FROM jsonb_to_recordset($2::jsonb) AS o (
        id uuid, report_seq bigint, kind text, next_seconds double precision, next_lane smallint,
        upstream_repository text,
        repository text, number integer, url text, state text, draft boolean, title text,
        changes_requested boolean, approved boolean, reviewer_count integer, additions integer,
        deletions integer, changed_files integer, commits integer, head_branch text,
        base_branch text, head_sha text, author_login text, author_avatar_url text, node_id text,
        problem_class text, retry_seconds double precision, base_seconds real, fingerprint text,
        validator text, canonical_repository text, updated_at timestamptz
    )
), held AS (
    SELECT
        s.id, s.chat_id, s.report_seq, s.is_primary, s.due_at, s.early_at, s.lane, s.url,
        s.pull_request_state, s.pull_request_title, s.pull_request_draft, s.changes_requested,
        s.additions, s.deletions, s.changed_files, s.head_branch, s.base_branch, s.head_sha,
        s.author_login, s.author_avatar_url, s.pr_number, s.commits, s.approved, s.reviewer_count,
        s.refreshed_at, s.pr_repository, s.pr_node_id, s.problem_class, s.problem_since,
        s.problem_until, s.failures, s.misses, s.settled_count, s.unchanged_count, s.fingerprint,
        s.found_at, s.changed_at, s.pr_updated_at, s.base_interval_seconds
    FROM chat_diff_statuses s
    JOIN outcome o ON o.id = s.id
    WHERE s.lease_token = $1
        AND s.report_seq >= o.report_seq
        AND NOT (
            o.kind = 'unchanged'
            AND s.report_seq = o.report_seq
            AND s.pull_request_state IS NULL
        )
    ORDER BY s.id
    FOR UPDATE OF s
), judged AS (
    SELECT
        h.id,
        h.report_seq = o.report_seq AS current,
        t.same,
        CASE
            WHEN o.kind = 'found' AND t.same AND o.updated_at < h.pr_updated_at THEN
                CASE WHEN h.report_seq = o.report_seq THEN 'outdated' ELSE 'superseded' END
            WHEN o.kind = 'found' THEN 'found'
            WHEN h.report_seq = o.report_seq THEN o.kind
            ELSE 'superseded'
        END AS effect
    FROM held h
    JOIN outcome o ON o.id = h.id
    -- Whether the pull request that was found is the known one. A rename changes its repository, a
    -- host without such ids has only that and the number.
    CROSS JOIN LATERAL (
        SELECT (
            h.pr_node_id = o.node_id
            OR (h.pr_number = o.number AND lower(h.pr_repository) = lower(o.repository))
        ) IS TRUE AS same
    ) AS t
), planned AS (
    SELECT
        h.id,
        j.current,
        j.effect,
        k.url, k.pull_request_state, k.pull_request_title, k.pull_request_draft,
        k.changes_requested, k.additions, k.deletions, k.changed_files, k.head_branch,
        k.base_branch, k.head_sha, k.author_login, k.author_avatar_url, k.pr_number, k.commits,
        k.approved, k.reviewer_count, k.pr_repository, k.pr_node_id,
        p.problem_class,
        CASE
            WHEN p.problem_class IS NULL THEN NULL
            WHEN p.problem_class = h.problem_class THEN h.problem_since
            ELSE now()
        END AS problem_since,
        p.problem_until,
        CASE
            WHEN j.effect IN ('found', 'no_pull_request', 'unchanged') THEN now()
            ELSE h.refreshed_at
        END AS refreshed_at,
        (h.is_primary OR k.pull_request_state = 'open') IS TRUE AND NOT c.archived AS polled,
        CASE WHEN j.current THEN now() + make_interval(secs => o.next_seconds) ELSE
            coalesce(h.due_at, now()) END AS due_at,
        CASE WHEN j.current THEN now() + make_interval(secs => o.next_seconds * 0.75) ELSE
            coalesce(h.early_at, now()) END AS early_at,
        CASE WHEN j.current THEN o.next_lane ELSE h.lane END AS lane,
        CASE
            WHEN j.effect IN ('superseded') THEN h.failures
            -- A limit that is spent is no failure of this ref.
            WHEN j.effect = 'failed' AND p.limited THEN h.failures
            WHEN j.effect = 'failed' THEN h.failures + 1
            ELSE 0
        END AS failures,
        CASE
            WHEN j.effect IN ('found', 'unchanged', 'outdated') THEN 0
            WHEN j.effect IN ('no_pull_request', 'gone') THEN h.misses + 1
            ELSE h.misses
        END AS misses,
        CASE
            WHEN j.effect IN ('unchanged', 'outdated') AND h.pull_request_state = 'open' THEN 0
            WHEN j.effect = 'unchanged' THEN h.settled_count + 1
            WHEN j.effect = 'found' AND o.state = 'open' THEN 0
            -- Counted since the last report, which this outcome is older than.
            WHEN j.effect = 'found' AND NOT j.current THEN h.settled_count
            WHEN j.effect = 'found' AND h.pull_request_state = o.state AND j.same
                THEN h.settled_count + 1
            WHEN j.effect = 'found' THEN 1
            WHEN j.effect = 'no_pull_request' THEN 0
            ELSE h.settled_count
        END AS settled_count,
        CASE
            WHEN j.effect = 'unchanged' THEN h.unchanged_count + 1
            WHEN j.effect IN ('failed', 'superseded', 'outdated') THEN h.unchanged_count
            ELSE 0
        END AS unchanged_count,
        CASE WHEN j.effect = 'found' THEN now() ELSE h.found_at END AS found_at,
        CASE
            -- One that is new to us need not be new.
            WHEN j.effect = 'found' AND NOT j.same THEN coalesce(least(o.updated_at, now()), now())
            WHEN j.effect = 'found' AND o.updated_at > h.pr_updated_at THEN now()
            WHEN f.differs THEN now()
            ELSE h.changed_at
        END AS changed_at,
        CASE
            WHEN j.effect = 'found' AND j.same THEN greatest(h.pr_updated_at, o.updated_at)
            WHEN j.effect = 'found' THEN o.updated_at
            WHEN j.effect = 'no_pull_request' THEN NULL
            ELSE h.pr_updated_at
        END AS pr_updated_at,
        CASE
            WHEN NOT j.current THEN h.base_interval_seconds
            ELSE coalesce(nullif(o.base_seconds, 0), nullif(o.next_seconds, 0)::real)
        END AS base_interval_seconds,
        CASE
            WHEN j.effect IN ('superseded', 'outdated') THEN h.fingerprint
            WHEN o.fingerprint IS NOT NULL THEN o.fingerprint
            -- It was another pull request's.
            WHEN j.effect = 'no_pull_request' OR (j.effect = 'found' AND NOT j.same) THEN NULL
            ELSE h.fingerprint
        END AS fingerprint,
        CASE WHEN j.effect NOT IN ('superseded', 'outdated') THEN o.validator END AS validator,
        o.upstream_repository,
        -- The last report may be of another repository that took the old name.
        CASE WHEN j.current THEN o.canonical_repository END AS canonical_repository,
        j.effect = 'found' AND f.differs AND k.pr_node_id IS NOT NULL AS seen_to_change,
        f.differs OR (h.problem_class, h.problem_until) IS DISTINCT FROM
            (p.problem_class, p.problem_until) AS changed
    FROM held h
    JOIN outcome o ON o.id = h.id
    JOIN judged j ON j.id = h.id
    JOIN chats c ON c.id = h.chat_id
    -- What is known from now on: what was found, nothing, or what was known before.
    CROSS JOIN LATERAL (
        SELECT
            o.url, o.state AS pull_request_state, o.title AS pull_request_title,
            o.draft AS pull_request_draft, o.changes_requested, o.additions, o.deletions,
            o.changed_files, o.head_branch, o.base_branch, o.head_sha, o.author_login,
            o.author_avatar_url, o.number AS pr_number, o.commits, o.approved, o.reviewer_count,
            o.repository AS pr_repository,
            coalesce(o.node_id, CASE WHEN j.same THEN h.pr_node_id END) AS pr_node_id
        WHERE j.effect = 'found'
        UNION ALL
        SELECT
            NULL, NULL, '', FALSE, FALSE, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            NULL, NULL, NULL
        WHERE j.effect = 'no_pull_request'
        UNION ALL
        SELECT
            h.url, h.pull_request_state, h.pull_request_title, h.pull_request_draft,
            h.changes_requested, h.additions, h.deletions, h.changed_files, h.head_branch,
            h.base_branch, h.head_sha, h.author_login, h.author_avatar_url, h.pr_number, h.commits,
            h.approved, h.reviewer_count, h.pr_repository, h.pr_node_id
        WHERE j.effect NOT IN ('found', 'no_pull_request')
    ) AS k
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN j.effect = 'failed' THEN o.problem_class
                WHEN j.effect = 'gone' THEN 'pull_request_gone'
                WHEN j.effect = 'superseded' THEN h.problem_class
            END AS problem_class,
            (o.problem_class IN ('rate_limited', 'secondary_limited')) IS TRUE AS limited,
            CASE
                WHEN j.effect = 'failed'
                    AND o.problem_class IN ('rate_limited', 'secondary_limited') THEN
                    now() + make_interval(secs => coalesce(o.retry_seconds, o.next_seconds))
                WHEN j.effect = 'superseded' THEN h.problem_until
            END AS problem_until
    ) AS p
    CROSS JOIN LATERAL (
        SELECT (
            h.url, h.pull_request_state, h.pull_request_title, h.pull_request_draft,
            h.changes_requested, h.additions, h.deletions, h.changed_files, h.head_branch,
            h.base_branch, h.head_sha, h.author_login, h.author_avatar_url, h.pr_number,
            h.commits, h.approved, h.reviewer_count
        ) IS DISTINCT FROM (
            k.url, k.pull_request_state, k.pull_request_title, k.pull_request_draft,
            k.changes_requested, k.additions, k.deletions, k.changed_files, k.head_branch,
            k.base_branch, k.head_sha, k.author_login, k.author_avatar_url, k.pr_number,
            k.commits, k.approved, k.reviewer_count
        ) AS differs
    ) AS f
), applied AS (
    UPDATE chat_diff_statuses s
    SET url = p.url,
        pull_request_state = p.pull_request_state,
        pull_request_title = p.pull_request_title,
        pull_request_draft = p.pull_request_draft,
        changes_requested = p.changes_requested,
        additions = p.additions,
        deletions = p.deletions,
        changed_files = p.changed_files,
        head_branch = p.head_branch,
        base_branch = p.base_branch,
        head_sha = p.head_sha,
        author_login = p.author_login,
        author_avatar_url = p.author_avatar_url,
        pr_number = p.pr_number,
        commits = p.commits,
        approved = p.approved,
        reviewer_count = p.reviewer_count,
        pr_repository = p.pr_repository,
        pr_node_id = p.pr_node_id,
        problem_class = p.problem_class,
        problem_since = p.problem_since,
        problem_until = p.problem_until,
        refreshed_at = p.refreshed_at,
        due_at = CASE WHEN p.polled THEN p.due_at END,
        early_at = CASE WHEN p.polled AND p.due_at IS NOT NULL THEN p.early_at END,
        lane = p.lane,
        failures = p.failures,
        misses = p.misses,
        settled_count = p.settled_count,
        unchanged_count = p.unchanged_count,
        found_at = p.found_at,
        changed_at = p.changed_at,
        pr_updated_at = p.pr_updated_at,
        base_interval_seconds = p.base_interval_seconds,
        fingerprint = p.fingerprint,
        validator = coalesce(p.validator, s.validator),
        upstream_repository = coalesce(p.upstream_repository, s.upstream_repository),
        canonical_repository = coalesce(p.canonical_repository, s.canonical_repository),
        outcome_seq = s.outcome_seq + p.current::int,
        lease_token = NULL
    FROM planned p
    WHERE s.id = p.id
    RETURNING s.id, s.chat_id, p.current, p.changed, p.seen_to_change
), recorded AS (
    INSERT INTO change_events (chat_id, kind)
    SELECT DISTINCT a.chat_id, 'diff_status_changed'
    FROM applied a
    WHERE a.changed
    RETURNING id
)
SELECT
    a.id,
    a.current,
    a.seen_to_change,
    EXISTS (SELECT FROM recorded) AS events
FROM applied a
