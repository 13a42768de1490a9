-- name: fill_budgets
-- One budget of each owner that has chats.
INSERT INTO git_budgets (id, budget_key, provider_id)
SELECT DISTINCT ON (c.owner_id) c.owner_id, 'bench:' || c.owner_id, 'github'
FROM chats c
