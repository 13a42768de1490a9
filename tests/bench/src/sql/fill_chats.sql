-- name: fill_chats
-- $1 chats over two years, number $1 the newest. bench_id(kind, number) names things, so that the
-- callers of the measurement know theirs. What they see lies at the same places from the old or the
-- new end whatever $1 is: their visible set does not grow with the table.
INSERT INTO chats (
    id, owner_id, organization_id, workspace_id, title, status, labels, archived, created_at,
    updated_at
)
SELECT
    -- A UUIDv7 of the time of creation.
    (
        lpad(to_hex((extract(epoch FROM k.created_at) * 1000)::bigint), 12, '0')
        || '7' || substr(md5(k.i::text), 1, 3) || '8' || substr(md5(k.i::text), 4, 15)
    )::uuid,
    CASE
        WHEN k.from_new < 2000 AND k.from_new % 10 = 0 THEN bench_id('owner', 1)
        WHEN k.i <= 2000 AND k.i % 10 = 0 THEN bench_id('owner', 2)
        -- One owner has a tenth of the table.
        WHEN k.i % 10 = 5 THEN bench_id('owner', 3)
        -- 10,000 owners of a million chats, some with many.
        ELSE bench_id('owner', 100 + floor(power(r.owner, 1.5) * ($1::int / 100.0))::int)
    END,
    CASE
        -- The small organization is the first 1,000 chats' every tenth, and no more.
        WHEN k.i % 10 = 9 AND k.i <= 1000 THEN bench_id('organization', 10)
        -- Six of ten are the largest one's.
        WHEN k.i % 10 < 6 THEN bench_id('organization', 1)
        WHEN k.i % 10 < 9 THEN bench_id('organization', k.i % 10 - 4)
    END,
    bench_id('workspace', floor(r.workspace * $1::int / 10)::int),
    CASE
        WHEN k.i % 50000 = 25 THEN 'Zanzibar: '
        WHEN k.i % 1000 = 501 THEN 'Flamingo: '
        ELSE ''
    END
    || (ARRAY[
        'Fix', 'Add', 'Remove', 'Explain', 'Refactor', 'Test', 'Document', 'Speed up', 'Migrate',
        'Investigate', 'Review', 'Upgrade'
    ])[1 + floor(r.verb * 12)::int]
    || ' the '
    || (ARRAY[
        'flaky', 'slow', 'old', 'broken', 'new', 'public', 'internal', 'nightly', 'hidden', 'shared'
    ])[1 + floor(r.adjective * 10)::int]
    || ' '
    || (ARRAY[
        'login page', 'search index', 'billing job', 'session cache', 'release script', 'settings',
        'webhook', 'sidebar', 'rate limiter', 'editor', 'parser', 'scheduler', 'export', 'importer',
        'dashboard', 'notification', 'audit log', 'upload', 'checkout', 'onboarding'
    ])[1 + floor(r.noun * 20)::int]
    || ' ' || floor(r.number * 10000)::int,
    CASE
        WHEN k.from_new < 2000 AND r.status < 0.3 THEN 'running'
        WHEN k.from_new < 2000 AND r.status < 0.35 THEN 'pending'
        WHEN r.status < 0.68 THEN 'completed'
        WHEN r.status < 0.90 THEN 'waiting'
        WHEN r.status < 0.97 THEN 'error'
        ELSE 'paused'
    END,
    CASE
        WHEN k.i % 20000 = 77 THEN jsonb_build_object('incident', 'inc-77')
        WHEN r.labels < 0.25 THEN jsonb_build_object('team', 'team-' || floor(r.team * 20)::int)
        WHEN r.labels < 0.40 THEN jsonb_build_object(
            'team', 'team-' || floor(r.team * 20)::int, 'priority', 'high'
        )
        ELSE '{}'
    END,
    -- Most of what is old is out of the way, little of what is new.
    r.archived < CASE WHEN k.from_new < $1::int / 5 THEN 0.02 ELSE 0.7 END,
    k.created_at,
    least(
        k.created_at + interval '5 days' * power(r.touched, 4), now() - interval '1 second' * r.touched
    )
FROM (
    SELECT
        i,
        $1::int - i AS from_new,
        now() - interval '730 days' * (($1::int - i)::float8 / $1::int) AS created_at
    FROM generate_series(1, $1::int) AS i
) AS k
CROSS JOIN LATERAL (
    SELECT
        random() AS owner, random() AS workspace, random() AS verb, random() AS adjective,
        random() AS noun, random() AS number, random() AS status, random() AS labels,
        random() AS team, random() AS archived, random() AS touched, k.i
) AS r
