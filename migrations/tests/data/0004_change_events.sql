INSERT INTO change_events (position, chat_id, kind)
VALUES
    (nextval('change_positions'), '01900000-0000-7000-8000-000000000001', 'created'),
    (NULL, '01900000-0000-7000-8000-000000000001', 'diff_status_changed');

INSERT INTO sync_requests (request_id, kind, answer)
VALUES
    ('01900000-0000-7000-8000-000000000401', 'lease', NULL),
    ('01900000-0000-7000-8000-000000000402', 'report', '[]');
