-- name: evict_refs
-- Removes, of each of the chats $1, the refs beyond $2: those reported longest ago make room, those
-- without an open pull request first, the primary never. The caller has locked the refs.
DELETE FROM git_refs
WHERE id IN (
    SELECT ranked.id
    FROM (
        SELECT
            r.id,
            row_number() OVER (
                PARTITION BY r.chat_id
                ORDER BY
                    r.is_primary DESC,
                    (r.pull_request ->> 'state' = 'open') IS TRUE DESC,
                    r.reported_at DESC,
                    r.id DESC
            ) AS place
        FROM git_refs r
        WHERE r.chat_id = ANY($1::uuid[])
    ) AS ranked
    WHERE ranked.place > $2
)
