INSERT INTO git_diffs (ref_id, account_id, wanted_until)
SELECT id, account_id, now() FROM git_refs;
