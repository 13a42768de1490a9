-- name: list_ref_accounts
-- The accounts of the refs $1. A ref never changes its account.
SELECT DISTINCT p.account_id
FROM git_ref_polls p
WHERE p.ref_id = ANY($1::uuid[])
