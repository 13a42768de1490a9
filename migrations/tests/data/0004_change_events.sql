INSERT INTO change_events (chat_id, kind)
VALUES ('00000000-0000-0000-0000-000000000001', 'created');
INSERT INTO sync_requests (request_id, budget_ids) VALUES ('00000000-0000-0000-0000-000000000005', '{}');
