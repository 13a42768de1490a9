-- name: fill_shares
-- Shares: of every hundred chats twelve with a user, five with one large group, one or two with one
-- of a hundred small groups; and what the first owner is shown by others, from the new end. One
-- user has ten thousand, and each of two hundred groups a thousand chats from all over the table,
-- or one of a hundred if that is less.
WITH numbered AS MATERIALIZED (
    SELECT
        c.id,
        c.owner_id,
        c.updated_at,
        c.archived,
        c.list_status,
        c.list_pr,
        c.primary_attention,
        row_number() OVER (ORDER BY c.created_at) AS i,
        row_number() OVER (ORDER BY c.created_at DESC) - 1 AS from_new,
        random() AS who
    FROM chats c
), strewn AS (
    SELECT
        1 + n.nth * (p.chats / p.shares) + abs(hashint4extended(n.nth, g.nth) % (p.chats / p.shares)) AS i,
        bench_id('group', 1000 + g.nth) AS subject
    FROM (SELECT $1::int AS chats, least(1000, $1::int / 100) AS shares) AS p
    CROSS JOIN generate_series(0, 199) AS g (nth)
    CROSS JOIN LATERAL generate_series(0, p.shares - 1) AS n (nth)
)
INSERT INTO chat_acl (
    chat_id, subject_kind, subject_id, level, chat_updated_at, owner_id, chat_archived, chat_status,
    chat_pr, chat_attention
)
SELECT k.id, s.kind, s.subject, CASE WHEN k.i % 3 = 0 THEN 'writer' ELSE 'reader' END, k.updated_at,
    k.owner_id, k.archived, k.list_status, k.list_pr, k.primary_attention
FROM numbered AS k
CROSS JOIN LATERAL (
    SELECT 'group' AS kind, bench_id('group', 1) AS subject
    WHERE k.i % 20 = 7
    UNION ALL
    SELECT 'group', bench_id('group', 100 + ((k.i / 67) % 100)::int)
    WHERE k.i % 67 = 5
    UNION ALL
    SELECT 'user', bench_id('owner', 100 + floor(k.who * $1::int / 100)::int)
    WHERE k.i % 8 = 3
    UNION ALL
    SELECT 'user', bench_id('owner', 1)
    WHERE k.from_new < 2000 AND k.from_new % 40 = 3
    UNION ALL
    SELECT 'group', bench_id('group', 2)
    WHERE k.from_new < 1800 AND k.from_new % 60 = 11
    UNION ALL
    SELECT 'user', bench_id('owner', 4)
    WHERE k.i % greatest($1::int / 10000, 1) = 0
) AS s
UNION ALL
SELECT k.id, 'group', t.subject, 'reader', k.updated_at, k.owner_id, k.archived, k.list_status, k.list_pr,
    k.primary_attention
FROM strewn t
JOIN numbered k ON k.i = t.i
