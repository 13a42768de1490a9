-- name: fill_polls
-- What is known of when each ref was looked up; none is planned.
INSERT INTO git_ref_polls (ref_id, account_id, refreshed_at)
SELECT r.id, r.account_id, r.reported_at
FROM git_refs r
