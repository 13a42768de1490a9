-- name: delete_shares
-- Takes the chat $1, which the transaction has locked, from the subjects of kinds $2 and ids $3.
-- Returns those that had it.
DELETE FROM chat_acl a
USING unnest($2::text[], $3::uuid[]) AS gone (kind, id)
WHERE a.chat_id = $1
    AND a.subject_kind = gone.kind
    AND a.subject_id = gone.id
RETURNING a.subject_id
