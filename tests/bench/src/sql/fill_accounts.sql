-- name: fill_accounts
-- One account of each owner that has chats, without a credential.
INSERT INTO git_accounts (id, user_id, provider_id)
SELECT DISTINCT ON (c.owner_id) c.owner_id, c.owner_id, 'github'
FROM chats c
