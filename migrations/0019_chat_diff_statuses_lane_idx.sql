-- no-transaction
-- For operators: how much of each lane is due, without a look at the rest.
CREATE INDEX CONCURRENTLY chat_diff_statuses_lane_idx
    ON chat_diff_statuses (lane, due_at)
    WHERE due_at IS NOT NULL;
