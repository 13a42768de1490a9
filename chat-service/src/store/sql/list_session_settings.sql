-- name: list_session_settings
-- The values of the settings named in $1 in this session, in PostgreSQL's units; NULL for one that
-- it does not know. The view leaves out settings that a client made up; `current_setting` has them.
SELECT n.name,
       COALESCE(
           (SELECT s.setting FROM pg_settings s WHERE s.name = n.name),
           current_setting(n.name, TRUE)
       ) AS setting
FROM unnest($1::text[]) n (name)
