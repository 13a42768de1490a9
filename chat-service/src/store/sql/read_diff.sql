-- name: read_diff
-- $4 bytes of the diff of the ref $1 from the byte $3 (the first is 1) on, if its last answer is
-- still that to the question $2. What is stored without compression is read without the rest.
SELECT substring(d.content FROM $3::integer FOR $4::integer) AS part
FROM git_diffs d
WHERE d.ref_id = $1
    AND d.answered = $2
    AND d.content IS NOT NULL
