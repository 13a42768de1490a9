-- name: shadow_decide
-- What each predicate says about each chat of the session's own table. NULL is a fault: a predicate
-- is two-valued.
SELECT
    c.id,
    ARRAY[/* predicates */ TRUE]::boolean[] AS held
FROM chats c
