-- name: report_refs
-- Makes a ref the primary of each of the chats $2, due at once, with its change event: account $3,
-- provider $4, origin $5, repository $6, branch $7, commit $8. A ref that is new takes the id of $1
-- at the same place. One that is known keeps what is known of it; its report_seq is raised, so that
-- a lookup that began before does not end the need to look. The caller has locked the chats and
-- their refs, and has demoted the former primary.
WITH reported AS (
    INSERT INTO git_refs AS r (
        id, chat_id, account_id, provider_id, git_remote_origin, repository, git_branch, commit_sha,
        is_primary, reported_at
    )
    -- By the clock that runs on: the transaction may have waited for an outcome that began later.
    SELECT n.id, n.chat_id, $3, $4, $5, $6, $7, $8, TRUE, clock_timestamp()
    FROM unnest($1::uuid[], $2::uuid[]) AS n (id, chat_id)
    ON CONFLICT ON CONSTRAINT git_refs_ref_key DO UPDATE
    SET git_remote_origin = excluded.git_remote_origin,
        repository = excluded.repository,
        commit_sha = excluded.commit_sha,
        is_primary = TRUE,
        reported_at = excluded.reported_at,
        -- Another repository may have taken the old name, and be the one that was pushed to.
        canonical_repository = NULL
    RETURNING r.id, r.chat_id, r.account_id, r.repository_key, r.pull_request, r.attention
), polled AS (
    INSERT INTO git_ref_polls AS p (ref_id, account_id, due_at, early_at, lane)
    SELECT r.id, r.account_id, d.due_at, d.due_at, 3
    FROM reported r
    JOIN chats c ON c.id = r.chat_id
    CROSS JOIN LATERAL (SELECT CASE WHEN NOT c.archived THEN now() END AS due_at) AS d
    ON CONFLICT ON CONSTRAINT git_ref_polls_pkey DO UPDATE
    SET report_seq = p.report_seq + 1,
        due_at = excluded.due_at,
        early_at = excluded.early_at,
        -- RefreshChat may be waiting for it already.
        lane = CASE WHEN p.due_at <= now() THEN least(p.lane, 3) ELSE 3 END,
        misses = 0,
        settled_count = 0
), filtered AS (
    UPDATE chats c
    SET primary_repository_key = r.repository_key,
        primary_pr_number = f.number,
        primary_pr_state = f.state,
        primary_pr_draft = f.draft,
        primary_attention = r.attention
    FROM reported r
    CROSS JOIN LATERAL (
        SELECT
            (r.pull_request ->> 'number')::integer AS number,
            r.pull_request ->> 'state' AS state,
            (r.pull_request ->> 'draft')::boolean AS draft
    ) AS f
    WHERE c.id = r.chat_id
        AND (
            c.primary_repository_key, c.primary_pr_number, c.primary_pr_state, c.primary_pr_draft,
            c.primary_attention
        ) IS DISTINCT FROM (r.repository_key, f.number, f.state, f.draft, r.attention)
    RETURNING c.id, c.list_pr, c.primary_attention
), shared AS (
    UPDATE chat_acl a
    SET chat_pr = f.list_pr,
        chat_attention = f.primary_attention
    FROM filtered f
    WHERE a.chat_id = f.id
        AND (a.chat_pr, a.chat_attention) <> (f.list_pr, f.primary_attention)
)
INSERT INTO change_events (chat_id, kind)
SELECT r.chat_id, 'diff_status_changed'
FROM reported r
