-- name: shadow_decide
-- What each predicate says about each of the made-up chats $1 with the shares $2, as JSON. They
-- have the names of the real tables, of which none is read. NULL is a fault: a predicate is
-- two-valued.
WITH chats AS MATERIALIZED (
    SELECT x.*
    FROM jsonb_to_recordset($1::jsonb) AS x (
        id uuid,
        owner_id uuid,
        organization_id uuid,
        workspace_id uuid,
        title text,
        status text,
        labels jsonb,
        archived boolean
    )
),
chat_acl AS MATERIALIZED (
    SELECT x.*
    FROM jsonb_to_recordset($2::jsonb) AS x (
        chat_id uuid,
        subject_kind text,
        subject_id uuid,
        level text
    )
)
SELECT
    c.id,
    ARRAY[/* predicates */ TRUE]::boolean[] AS held
FROM chats c
