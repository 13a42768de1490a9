-- name: list_looked_up
-- When each branch of a chat was last looked up.
SELECT r.chat_id, r.git_branch, p.refreshed_at
FROM git_refs r
JOIN git_ref_polls p ON p.ref_id = r.id
