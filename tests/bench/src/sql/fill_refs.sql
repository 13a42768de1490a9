-- name: fill_refs
-- Seven of ten chats have a git ref, three of four of those a pull request; 2,000 repositories to a
-- million chats, few of them busy. New pull requests are mostly open, old ones mostly merged.
INSERT INTO git_refs (
    id, chat_id, account_id, provider_id, git_remote_origin, repository, git_branch, commit_sha,
    is_primary, reported_at, pull_request, pr_repository
)
SELECT
    gen_random_uuid(), k.id, k.owner_id, 'github',
    'https://github.com/' || k.repository || '.git', k.repository,
    'agent/task-' || k.number || '-' || p.nth, md5(k.id::text) || '00000000', p.nth = 1, k.updated_at,
    CASE WHEN s.state IS NOT NULL THEN jsonb_build_object(
        'number', k.number,
        'url', 'https://github.com/' || k.repository || '/pull/' || k.number,
        'state', s.state,
        'draft', s.state = 'open' AND k.draft < 0.15,
        'title', k.title,
        'base_branch', 'main',
        'author_login', 'octo-' || k.number,
        'author_avatar_url', 'https://avatars.githubusercontent.com/u/' || k.number || '?v=4',
        'changes_requested', s.state = 'open' AND k.review < 0.1,
        'approved', k.review > 0.5,
        'reviewer_count', floor(k.review * 4)::int,
        'head', jsonb_build_object(
            'branch', 'agent/task-' || k.number || '-' || p.nth,
            'sha', md5(k.id::text) || '00000000',
            'additions', floor(k.size * 900)::int,
            'deletions', floor(k.size * 300)::int,
            'changed_files', 1 + floor(k.size * 20)::int,
            'commits', 1 + floor(k.size * 9)::int
        )
    ) END,
    CASE WHEN s.state IS NOT NULL THEN k.repository END
FROM (
    SELECT
        n.id, n.owner_id, n.title, n.updated_at, n.fresh, n.number, n.has, n.settled, n.draft,
        n.review, n.size, n.second,
        'acme-' || n.place % 40 || '/service-' || n.place AS repository
    FROM (
        SELECT
            c.id, c.owner_id, c.title, c.updated_at,
            row_number() OVER (ORDER BY c.created_at DESC) < $1::int / 20 AS fresh,
            floor(power(random(), 2) * greatest($1::int / 500, 20))::int AS place,
            1 + floor(power(random(), 3) * 5000)::int AS number,
            random() AS has, random() AS settled, random() AS draft, random() AS review,
            random() AS size, random() AS second
        FROM chats c
    ) AS n
) AS k
CROSS JOIN LATERAL (
    SELECT nth
    FROM generate_series(1, CASE WHEN k.has > 0.7 THEN 0 WHEN k.second < 0.1 THEN 2 ELSE 1 END) AS nth
) AS p
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN k.has > 0.525 THEN NULL
        WHEN k.settled < CASE WHEN k.fresh THEN 0.6 ELSE 0.05 END THEN 'open'
        WHEN k.settled < 0.88 THEN 'merged'
        ELSE 'closed'
    END AS state
) AS s
