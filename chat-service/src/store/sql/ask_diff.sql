-- name: ask_diff
-- Asks for the diff of the primary ref of the chat $1, unless that of $2 others of its account is
-- asked for, and makes the ref due now, as one that a person waits for: its lookup says of what the
-- diff is. A question that has no answer yet is joined, whether its lookup is under way or not.
-- Returns the ref, and the number of its question; NULL if it was not asked. No row: the chat has
-- no ref. The caller has locked the refs and their accounts.
--
-- The question is wanted for $3 seconds, and longer as long as someone waits. The lookup continues
-- the trace $4, or where that is NULL the one of a person who waits already.
WITH primary_ref AS (
    SELECT
        r.id,
        p.account_id,
        (
            SELECT count(*)
            FROM git_diffs o
            WHERE o.account_id = p.account_id
                AND o.ref_id <> r.id
                AND o.answered < o.asked
                AND o.wanted_until > now()
        ) AS others
    FROM git_refs r
    JOIN git_ref_polls p ON p.ref_id = r.id
    WHERE r.chat_id = $1
        AND r.is_primary
), question AS (
    INSERT INTO git_diffs AS d (ref_id, account_id, wanted_until)
    SELECT f.id, f.account_id, now() + make_interval(secs => $3::double precision)
    FROM primary_ref f
    WHERE f.others < $2::bigint
    ON CONFLICT (ref_id) DO UPDATE
    SET asked = CASE WHEN d.answered < d.asked THEN d.asked ELSE d.asked + 1 END,
        wanted_until = excluded.wanted_until
    RETURNING d.ref_id, d.asked
), made AS (
    UPDATE git_ref_polls p
    SET lane = 1,
        due_at = least(p.due_at, now()),
        early_at = least(p.early_at, now()),
        traceparent = coalesce($4::text, p.traceparent)
    FROM question q
    WHERE p.ref_id = q.ref_id
)
SELECT
    f.id,
    (SELECT q.asked FROM question q) AS asked
FROM primary_ref f
