-- no-transaction
-- What an owner's refs in one repository would be looked up before a problem of it may be over.
CREATE INDEX CONCURRENTLY chat_diff_statuses_owner_due_idx
    ON chat_diff_statuses (owner_id, provider_id, repository_key, due_at)
    WHERE due_at IS NOT NULL;
