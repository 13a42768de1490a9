-- no-transaction
-- Who else follows a pull request that one owner's lookup has seen to change.
CREATE INDEX CONCURRENTLY chat_diff_statuses_pr_node_id_idx
    ON chat_diff_statuses (provider_id, pr_node_id)
    WHERE pr_node_id IS NOT NULL;
