-- name: report_refs
-- Makes a ref the primary of each of the chats $2, due at once, with its change event: provider $3,
-- origin $4, repository $5/$6, branch $7, commit $8, in the budget $9. A ref that is new takes the id
-- of $1 at the same place, and nothing of the chat's other refs. One that is known keeps what is
-- known of it; its report_seq is raised, so that a lookup that began before does not end the need to
-- look. While the host refuses the owner's credential nothing is sent with it: the ref waits with that
-- problem, and is its own answer. The caller has locked the chats, the budget and the refs, and has demoted the former primary.
WITH reported AS (
    INSERT INTO chat_diff_statuses AS s (
        id, chat_id, owner_id, provider_id, git_remote_origin, repository_owner, repository_name,
        git_branch, commit_sha, is_primary, chat_updated_at, budget_id, due_at, early_at, lane,
        problem_class, problem_since
    )
    SELECT
        n.id, c.id, c.owner_id, $3, $4, $5, $6, $7, $8, TRUE, c.updated_at, $9,
        p.due_at, p.due_at, 3, p.problem_class,
        CASE WHEN p.problem_class IS NOT NULL THEN now() END
    FROM unnest($1::uuid[], $2::uuid[]) AS n (id, chat_id)
    JOIN chats c ON c.id = n.chat_id
    LEFT JOIN git_accounts a ON a.user_id = c.owner_id AND a.provider_id = $3
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN c.archived OR a.credential_state = 'rejected' THEN NULL
                ELSE greatest(now(), a.confirm_after)
            END AS due_at,
            CASE
                WHEN a.credential_state = 'rejected' THEN 'credential_rejected'
                WHEN a.confirm_after > now() THEN 'credential_suspect'
            END AS problem_class
    ) AS p
    ON CONFLICT ON CONSTRAINT chat_diff_statuses_ref_key DO UPDATE
    SET git_remote_origin = excluded.git_remote_origin,
        repository_owner = excluded.repository_owner,
        repository_name = excluded.repository_name,
        commit_sha = excluded.commit_sha,
        is_primary = TRUE,
        chat_updated_at = excluded.chat_updated_at,
        reported_at = now(),
        report_seq = s.report_seq + 1,
        budget_id = excluded.budget_id,
        lease_token = CASE WHEN s.budget_id = excluded.budget_id THEN s.lease_token END,
        due_at = excluded.due_at,
        early_at = excluded.early_at,
        -- Somebody may be waiting for it already.
        lane = CASE WHEN s.due_at <= now() THEN least(s.lane, 3) ELSE 3 END,
        problem_class = coalesce(excluded.problem_class, s.problem_class),
        problem_since = CASE
            WHEN s.problem_class = excluded.problem_class THEN s.problem_since
            ELSE coalesce(excluded.problem_since, s.problem_since)
        END,
        problem_until = CASE WHEN excluded.problem_class IS NULL THEN s.problem_until END,
        -- Another repository may have taken the old name, and be the one that was pushed to.
        canonical_repository = NULL,
        misses = 0,
        settled_count = 0
    RETURNING s.chat_id
)
INSERT INTO change_events (chat_id, kind)
SELECT r.chat_id, 'diff_status_changed'
FROM reported r
RETURNING chat_id
