-- no-transaction
-- For operators: how many refs have which problem, without a look at those that have none.
--
-- By a condition that no other statement has: one that asks for refs with a problem must not take this index in
-- place of its own, however few of them the last statistics saw.
CREATE INDEX CONCURRENTLY chat_diff_statuses_problem_idx
    ON chat_diff_statuses (problem_class, problem_since)
    WHERE problem_class > '';
