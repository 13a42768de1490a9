INSERT INTO git_budgets (id, budget_key, provider_id, account_id, merge_after)
VALUES (
    '01900000-0000-7000-8000-000000000105', 'api.github.com|token:5', 'github', '4',
    now() + interval '1 h'
);

DO $$
BEGIN
    ASSERT (
        SELECT bool_and(merge_after IS NULL)
        FROM git_budgets
        WHERE id <> '01900000-0000-7000-8000-000000000105'
    ), 'no merge is put off that was not judged';
END
$$;
