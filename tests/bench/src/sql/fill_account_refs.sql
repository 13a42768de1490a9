-- name: fill_account_refs
-- $2 chats of each of the users $1, with one branch each whose pull request is known, due now. The
-- users have accounts.
WITH made AS (
    INSERT INTO chats (
        id, owner_id, title, status, primary_repository_key, primary_pr_number, primary_pr_state,
        primary_pr_draft
    )
    SELECT gen_random_uuid(), u.id, 'bench', 'waiting', 'acme/web', 1, 'open', FALSE
    FROM unnest($1::uuid[]) AS u (id)
    CROSS JOIN generate_series(1, $2::int)
    RETURNING id, owner_id
), refs AS (
    INSERT INTO git_refs (
        id, chat_id, account_id, provider_id, git_remote_origin, repository, git_branch,
        is_primary, reported_at, pull_request, pr_repository
    )
    SELECT
        gen_random_uuid(), m.id, a.id, a.provider_id, 'https://github.com/acme/web.git', 'acme/web',
        'b', TRUE, now() - interval '1 hour',
        jsonb_build_object(
            'number', 1, 'url', 'https://github.com/acme/web/pull/1', 'state', 'open', 'draft', FALSE,
            'title', '', 'base_branch', 'main', 'changes_requested', FALSE, 'approved', FALSE,
            'reviewer_count', 0,
            'head', jsonb_build_object(
                'branch', 'b', 'sha', '', 'additions', 0, 'deletions', 0, 'changed_files', 0,
                'commits', 0
            )
        ),
        'acme/web'
    FROM made m
    JOIN git_accounts a ON a.user_id = m.owner_id
    RETURNING id, account_id
)
INSERT INTO git_ref_polls (ref_id, account_id, refreshed_at, due_at, early_at, lane)
SELECT r.id, r.account_id, now(), now(), now(), 4
FROM refs r
