-- name: fill_synced_refs
-- Chats of the user $1, one for each branch of the repository `$2/web`: $3 are their ids, $4 and $5
-- the numbers and host ids of the branches' pull requests. They are known, and planned for some
-- other day.
WITH made AS (
    INSERT INTO chats (
        id, owner_id, title, status, primary_repository_key, primary_pr_number, primary_pr_state,
        primary_pr_draft
    )
    SELECT n.chat_id, $1, 'bench', 'waiting', lower($2::text || '/web'), n.number, 'open', FALSE
    FROM unnest($3::uuid[], $4::int[]) AS n (chat_id, number)
    RETURNING id, owner_id, updated_at
), refs AS (
    INSERT INTO git_refs (
        id, chat_id, account_id, provider_id, git_remote_origin, repository, git_branch,
        is_primary, reported_at, pull_request, pr_repository, pr_host_id
    )
    SELECT
        gen_random_uuid(), m.id, a.id, a.provider_id,
        'https://github.com/' || $2::text || '/web.git', $2::text || '/web', 'b' || n.number, TRUE,
        now() - interval '1 hour',
        jsonb_build_object(
            'number', n.number,
            'url', 'https://github.com/' || $2::text || '/web/pull/' || n.number,
            'state', 'open',
            'draft', FALSE,
            'title', '',
            'base_branch', 'main',
            'changes_requested', FALSE,
            'approved', FALSE,
            'reviewer_count', 0,
            'head', jsonb_build_object(
                'branch', 'b' || n.number, 'sha', '', 'additions', 0, 'deletions', 0,
                'changed_files', 0, 'commits', 0
            )
        ),
        $2::text || '/web', n.host_id
    FROM unnest($3::uuid[], $4::int[], $5::text[]) AS n (chat_id, number, host_id)
    JOIN made m ON m.id = n.chat_id
    JOIN git_accounts a ON a.user_id = m.owner_id
    RETURNING id, account_id
)
INSERT INTO git_ref_polls (ref_id, account_id, due_at, early_at, lane)
SELECT r.id, r.account_id, now() + interval '1 day', now() + interval '1 day', 4
FROM refs r
