-- name: explain_search
-- How PostgreSQL would find the latest chats that a search matches, from its statistics: in the
-- order of the list, if matches are common, or by the search's own index, if they are rare. Nothing
-- is run.
EXPLAIN (FORMAT JSON)
SELECT c.id
FROM chats c
WHERE (/* search */ TRUE)
ORDER BY c.updated_at DESC, c.id DESC
LIMIT 250
