-- name: evict_refs
-- Removes, of each of the chats $1, the refs beyond $2: those reported longest ago make room, those
-- without an open pull request first, the primary never.
DELETE FROM chat_diff_statuses
WHERE id IN (
    SELECT ranked.id
    FROM (
        SELECT
            s.id,
            row_number() OVER (
                PARTITION BY s.chat_id
                ORDER BY
                    s.is_primary DESC,
                    (s.pull_request_state = 'open') IS TRUE DESC,
                    s.reported_at DESC,
                    s.id DESC
            ) AS place
        FROM chat_diff_statuses s
        WHERE s.chat_id = ANY($1::uuid[])
    ) AS ranked
    WHERE ranked.place > $2
)
