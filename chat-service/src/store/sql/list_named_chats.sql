-- name: list_named_chats
-- Those of the chats $1 that are not archived and for which the predicate holds.
SELECT c.id
FROM chats c
WHERE c.id = ANY($1::uuid[])
    AND NOT c.archived
    AND (/* readable */ TRUE)
