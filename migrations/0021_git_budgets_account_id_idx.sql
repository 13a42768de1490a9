-- no-transaction
-- Which keys are one account's, and are still to be merged.
CREATE INDEX CONCURRENTLY git_budgets_account_id_idx
    ON git_budgets (provider_id, account_id)
    WHERE account_id IS NOT NULL;
