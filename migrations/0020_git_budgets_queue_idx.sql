-- no-transaction
-- The queues of keys, one for each lane, in the order of their turns.
CREATE INDEX CONCURRENTLY git_budgets_queue_idx
    ON git_budgets (lane, ready_at)
    WHERE ready_at IS NOT NULL;
