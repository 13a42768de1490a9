-- Whose a token's key was before it became its account's, or was merged with that. Written by
-- chat-service only.

-- Who links the same token again finds the budget that it spends, with its pauses, though the budget has
-- another name by now. A row goes with its budget.
CREATE TABLE git_budget_tokens (
    -- The provisional key: a keyed hash, as in `git_budgets.budget_key`.
    token_key text NOT NULL CONSTRAINT git_budget_tokens_pkey PRIMARY KEY,
    budget_id uuid NOT NULL
        CONSTRAINT git_budget_tokens_budget_id_fkey REFERENCES git_budgets (id) ON DELETE CASCADE,
    noted_at timestamptz NOT NULL DEFAULT now()
);

-- The tokens of one account, the latest first: only so many are kept.
CREATE INDEX git_budget_tokens_budget_id_idx ON git_budget_tokens (budget_id, noted_at);
