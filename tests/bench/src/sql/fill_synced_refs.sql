-- name: fill_synced_refs
-- Chats of the user $1, one for each branch of the repository `$2/web`: $3 are their ids, $4 and $5 the
-- numbers and node ids of the branches' pull requests. They are known, and planned for some other day.
WITH made AS (
    INSERT INTO chats (id, owner_id, title, status)
    SELECT n.chat_id, $1, 'bench', 'waiting'
    FROM unnest($3::uuid[]) AS n (chat_id)
    RETURNING id, owner_id, updated_at
)
INSERT INTO chat_diff_statuses (
    id, chat_id, owner_id, provider_id, git_remote_origin, repository_owner, repository_name,
    git_branch, is_primary, chat_updated_at, reported_at, budget_id, due_at, early_at, lane, url,
    pull_request_state, pr_number, pr_repository, pr_node_id
)
SELECT
    gen_random_uuid(), m.id, m.owner_id, a.provider_id,
    'https://github.com/' || $2::text || '/web.git', $2, 'web',
    'b' || n.number, TRUE, m.updated_at, now() - interval '1 hour', a.budget_id,
    now() + interval '1 day', now() + interval '1 day', 4,
    'https://github.com/' || $2::text || '/web/pull/' || n.number,
    'open', n.number, $2::text || '/web', n.node_id
FROM unnest($3::uuid[], $4::int[], $5::text[]) AS n (chat_id, number, node_id)
JOIN made m ON m.id = n.chat_id
JOIN git_accounts a ON a.user_id = m.owner_id
