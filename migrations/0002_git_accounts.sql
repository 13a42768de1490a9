-- Whose rate limit a request spends, and the sealed credentials that spend it. Written by
-- chat-service only.

-- One row per budget key: an account at a git host, or the users without one. A worker leases a
-- budget, never a single ref, so its rate limit has one spender at a time.
CREATE TABLE git_budgets (
    id uuid NOT NULL CONSTRAINT git_budgets_pkey PRIMARY KEY,
    -- Provisional (a keyed hash of a token), or of the account's id as the host itself told it, or
    -- of a user without an account.
    budget_key text NOT NULL CONSTRAINT git_budgets_budget_key_key UNIQUE,
    provider_id text NOT NULL,

    -- The earliest due time of its refs; NULL when nothing is planned. Lowered by whoever makes a
    -- ref due, in the same transaction; computed anew when a lease ends.
    next_due_at timestamptz,
    -- Since when somebody waits for one of its refs (lane 1), so that it is leased before others;
    -- NULL when nobody does. Computed anew together with next_due_at. While the budget is leased,
    -- they wait for that lease to end.
    interactive_since timestamptz,
    -- Nothing is sent before this. Only ever raised.
    paused_until timestamptz,

    lease_token uuid CONSTRAINT git_budgets_lease_token_key UNIQUE,
    lease_expires_at timestamptz,
    lease_worker text,
    lease_request_id uuid,

    -- When it can be leased: due, not paused, and no live lease. One index answers "who is next".
    ready_at timestamptz GENERATED ALWAYS AS (
        CASE
            WHEN next_due_at IS NULL THEN NULL
            ELSE greatest(next_due_at, paused_until, lease_expires_at)
        END
    ) STORED,

    -- As the host last told, of its REST interface.
    rest_limit bigint,
    rest_remaining bigint,
    rest_reset_at timestamptz,

    CONSTRAINT git_budgets_lease_check CHECK (
        (lease_token IS NULL) = (lease_expires_at IS NULL)
        AND (lease_token IS NULL) = (lease_worker IS NULL)
        AND (lease_token IS NULL) = (lease_request_id IS NULL)
    )
);

CREATE INDEX git_budgets_ready_at_idx ON git_budgets (ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX git_budgets_interactive_idx ON git_budgets (ready_at)
    WHERE interactive_since IS NOT NULL AND ready_at IS NOT NULL;
CREATE INDEX git_budgets_lease_request_id_idx ON git_budgets (lease_request_id)
    WHERE lease_request_id IS NOT NULL;

-- A user's credential at a provider. Tokens are sealed with AES-256-GCM under the key `key_id`;
-- the row's id and the column's name are the associated data, so a sealed value that is copied
-- to another row or column does not open.
CREATE TABLE git_accounts (
    id uuid NOT NULL CONSTRAINT git_accounts_pkey PRIMARY KEY,
    user_id uuid NOT NULL,
    provider_id text NOT NULL,
    budget_id uuid NOT NULL
        CONSTRAINT git_accounts_budget_id_fkey REFERENCES git_budgets (id),
    key_id text NOT NULL,
    access_token_sealed bytea NOT NULL,
    refresh_token_sealed bytea,
    expires_at timestamptz,
    linked_at timestamptz NOT NULL DEFAULT now(),
    -- Why the access token could not be renewed; NULL while it can.
    refresh_failure text,
    CONSTRAINT git_accounts_user_id_provider_id_key UNIQUE (user_id, provider_id)
);

CREATE INDEX git_accounts_budget_id_idx ON git_accounts (budget_id);
