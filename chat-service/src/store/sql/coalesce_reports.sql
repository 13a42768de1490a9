-- name: coalesce_reports
-- Of the chats $1, those for which a report of the ref (provider $2, repository $3, branch $4) adds
-- nothing: it is the primary, was reported less than 3 s ago, is still due, and no lease of its
-- budget began since, so that the lookup to come answers this report, too. Keeps the commit $5. The
-- caller has locked the chats and their refs.
WITH coalesced AS (
    SELECT r.id, r.chat_id
    FROM git_refs r
    JOIN git_ref_polls p ON p.ref_id = r.id
    WHERE r.chat_id = ANY($1::uuid[])
        AND r.provider_id = $2
        AND r.repository_key = lower($3::text)
        AND r.git_branch = $4
        AND r.is_primary
        AND r.reported_at > now() - interval '3 seconds'
        AND p.due_at <= now()
        AND (
            SELECT b.leased_at > r.reported_at
            FROM git_accounts a
            JOIN git_budgets b ON b.id = a.budget_id
            WHERE a.id = r.account_id
        ) IS NOT TRUE
), pushed AS (
    UPDATE git_refs r
    SET commit_sha = $5
    FROM coalesced c
    WHERE r.id = c.id
        AND r.commit_sha IS DISTINCT FROM $5::text
        AND $5::text IS NOT NULL
)
SELECT c.chat_id
FROM coalesced c
