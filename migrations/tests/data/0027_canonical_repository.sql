UPDATE chat_diff_statuses
SET canonical_repository = 'acme/site'
WHERE id = '01900000-0000-7000-8000-000000000303';

DO $$
BEGIN
    ASSERT (
        SELECT canonical_repository IS NULL
        FROM chat_diff_statuses
        WHERE id = '01900000-0000-7000-8000-000000000302'
    ), 'an older ref is called as it was reported';
END
$$;
