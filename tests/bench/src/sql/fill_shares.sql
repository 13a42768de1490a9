-- name: fill_shares
-- Shares: of every hundred chats twelve with a user, five with one large group, one or two with one of
-- a hundred small groups; and what the first owner is shown by others, from the new end.
INSERT INTO chat_acl (chat_id, subject_kind, subject_id, level, chat_updated_at, owner_id)
SELECT k.id, s.kind, s.subject, CASE WHEN k.i % 3 = 0 THEN 'writer' ELSE 'reader' END, k.updated_at,
    k.owner_id
FROM (
    SELECT
        c.id,
        c.owner_id,
        c.updated_at,
        row_number() OVER (ORDER BY c.created_at) AS i,
        row_number() OVER (ORDER BY c.created_at DESC) - 1 AS from_new,
        random() AS who
    FROM chats c
) AS k
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
) AS s
