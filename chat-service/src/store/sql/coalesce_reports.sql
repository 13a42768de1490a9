-- name: coalesce_reports
-- Of the chats $1, those for which a report of the ref (provider $2, repository $3/$4, branch $5)
-- adds nothing: it is the primary, was reported less than 3 s ago, and is still due and not
-- leased, so that the lookup to come answers this report, too. Keeps the commit $6. The caller has
-- locked the budget: nobody leases the ref meanwhile.
UPDATE chat_diff_statuses s
SET commit_sha = coalesce($6, s.commit_sha)
FROM git_budgets b
WHERE b.id = s.budget_id
    AND s.chat_id = ANY($1::uuid[])
    AND s.provider_id = $2
    AND s.repository_key = lower($3::text || '/' || $4::text)
    AND s.git_branch = $5
    AND s.is_primary
    AND s.due_at <= now()
    AND s.reported_at > now() - interval '3 seconds'
    AND (s.lease_token = b.lease_token AND b.lease_expires_at > now()) IS NOT TRUE
RETURNING s.chat_id
