-- no-transaction
-- For operators: how much of each lane is due, without a look at the rest.
--
-- By an expression that no other statement has: one that asks for a budget's refs by lane must not take this
-- index in place of the budget's own, however few due refs the last statistics saw.
CREATE INDEX CONCURRENTLY chat_diff_statuses_lane_idx
    ON chat_diff_statuses ((lane::integer), due_at)
    WHERE due_at IS NOT NULL;
