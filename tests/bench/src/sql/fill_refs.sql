-- name: fill_refs
-- Seven of ten chats have a git ref, three of four of those a pull request; 2,000 repositories to a
-- million chats, few of them busy. New pull requests are mostly open, old ones mostly merged.
INSERT INTO chat_diff_statuses (
    id, chat_id, owner_id, provider_id, git_remote_origin, repository_owner, repository_name,
    git_branch, commit_sha, is_primary, reported_at, url, pull_request_state, pull_request_title,
    pull_request_draft, changes_requested, additions, deletions, changed_files, head_branch,
    base_branch, head_sha, author_login, author_avatar_url, pr_number, commits, approved,
    reviewer_count, refreshed_at, pr_repository, budget_id, chat_updated_at
)
SELECT
    gen_random_uuid(), k.id, k.owner_id, 'github',
    'https://github.com/acme-' || k.place % 40 || '/service-' || k.place || '.git',
    'acme-' || k.place % 40, 'service-' || k.place,
    'agent/task-' || k.number || '-' || p.nth, md5(k.id::text) || '00000000', p.nth = 1, k.updated_at,
    CASE WHEN s.state IS NOT NULL THEN
        'https://github.com/acme-' || k.place % 40 || '/service-' || k.place || '/pull/' || k.number
    END,
    s.state,
    CASE WHEN s.state IS NULL THEN '' ELSE k.title END,
    coalesce(s.state = 'open', FALSE) AND k.draft < 0.15,
    coalesce(s.state = 'open', FALSE) AND k.review < 0.1,
    CASE WHEN s.state IS NULL THEN 0 ELSE floor(k.size * 900)::int END,
    CASE WHEN s.state IS NULL THEN 0 ELSE floor(k.size * 300)::int END,
    CASE WHEN s.state IS NULL THEN 0 ELSE 1 + floor(k.size * 20)::int END,
    CASE WHEN s.state IS NOT NULL THEN 'agent/task-' || k.number || '-' || p.nth END,
    CASE WHEN s.state IS NOT NULL THEN 'main' END,
    CASE WHEN s.state IS NOT NULL THEN md5(k.id::text) || '00000000' END,
    CASE WHEN s.state IS NOT NULL THEN 'octo-' || k.number END,
    CASE WHEN s.state IS NOT NULL THEN
        'https://avatars.githubusercontent.com/u/' || k.number || '?v=4'
    END,
    CASE WHEN s.state IS NOT NULL THEN k.number END,
    CASE WHEN s.state IS NOT NULL THEN 1 + floor(k.size * 9)::int END,
    CASE WHEN s.state IS NOT NULL THEN k.review > 0.5 END,
    CASE WHEN s.state IS NOT NULL THEN floor(k.review * 4)::int END,
    k.updated_at,
    CASE WHEN s.state IS NOT NULL THEN 'acme-' || k.place % 40 || '/service-' || k.place END,
    k.owner_id, k.updated_at
FROM (
    SELECT
        c.id, c.owner_id, c.title, c.updated_at,
        row_number() OVER (ORDER BY c.created_at DESC) < $1::int / 20 AS fresh,
        floor(power(random(), 2) * greatest($1::int / 500, 20))::int AS place,
        1 + floor(power(random(), 3) * 5000)::int AS number,
        random() AS has, random() AS settled, random() AS draft, random() AS review,
        random() AS size, random() AS second
    FROM chats c
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
