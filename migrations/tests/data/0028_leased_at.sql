UPDATE git_budgets
SET leased_at = now()
WHERE lease_token IS NOT NULL;

DO $$
BEGIN
    ASSERT (
        SELECT bool_and(leased_at IS NULL)
        FROM git_budgets
        WHERE lease_token IS NULL
    ), 'no lease is made up';
END
$$;
