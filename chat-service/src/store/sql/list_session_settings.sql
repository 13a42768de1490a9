-- name: list_session_settings
-- What the settings named in $1 are in this session, in PostgreSQL's units; NULL for one that it does not
-- know. The view leaves out what a client made up, which `current_setting` knows.
SELECT n.name,
       COALESCE(
           (SELECT s.setting FROM pg_settings s WHERE s.name = n.name),
           current_setting(n.name, TRUE)
       ) AS setting
FROM unnest($1::text[]) n (name)
