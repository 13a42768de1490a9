-- name: count_shares
-- How many subjects the chat $1 is shared with.
SELECT count(*) AS subjects
FROM chat_acl a
WHERE a.chat_id = $1
