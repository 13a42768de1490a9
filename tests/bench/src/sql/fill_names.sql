-- name: fill_names
-- The id of the number-th thing of a kind.
CREATE FUNCTION bench_id(kind text, number int) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ('01900000-0000-7000-8' || substr(md5(kind), 1, 3) || '-' || lpad(to_hex(number), 12, '0'))::uuid;
