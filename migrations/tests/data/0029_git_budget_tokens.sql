INSERT INTO git_budget_tokens (token_key, budget_id)
VALUES ('api.github.com|token:4', '01900000-0000-7000-8000-000000000104');
