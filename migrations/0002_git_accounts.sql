-- Whose rate limit a request spends, users at their providers, and the sealed credentials. Written
-- by chat-service only.
--
-- Locks are taken in one order: chat, refs by id (git_ref_polls), accounts by id, budgets by id,
-- and FOR NO KEY UPDATE at once. A budget is locked last and for one round trip.

-- One row per budget: a user or an app installation at a host, or a token of which the host has not
-- said whose it is. A worker leases a budget, never a ref, so its rate limits have one spender.
CREATE TABLE git_budgets (
    id uuid NOT NULL CONSTRAINT git_budgets_pkey PRIMARY KEY,
    provider_id text NOT NULL,
    -- A keyed hash of a token, or the account's id as the host itself said it.
    budget_key text NOT NULL CONSTRAINT git_budgets_budget_key_key UNIQUE,
    -- Whose it is, as the host said. NULL while the key is that of a token.
    account_id text,

    -- The place in the queue: since when, or from when on, it can be leased. NULL: nothing is
    -- planned. A claim moves it to when the lease expires, and the end of a turn to now at the
    -- earliest.
    queue_at timestamptz,
    -- The most urgent lane of what is due when it can be leased: 1 interactive, 2 viewed, 3 active,
    -- 4 idle.
    lane smallint NOT NULL DEFAULT 4,
    -- Since when a person waits in RefreshChat for one of its refs.
    interactive_since timestamptz,

    -- The lease. One that has expired stays until the next claim, so that losses are counted.
    lease_token uuid,
    lease_expires_at timestamptz,
    lease_worker text,
    lease_request_id uuid,
    -- When the last lease began, by the clock that runs on within a transaction.
    leased_at timestamptz,
    -- Refs that it handed out and that had no outcome yet; of a budget that rests after that, until
    -- it does not any more.
    leased_refs integer NOT NULL DEFAULT 0,
    -- Leases in a row that expired without being given back.
    lost_leases integer NOT NULL DEFAULT 0,
    -- Refs per second that its refs ask for at their base intervals, as of demand_at.
    demand double precision NOT NULL DEFAULT 0,
    demand_at timestamptz,

    -- The rate limits: [{name, limit, remaining, reset_at, length_seconds, paused_until}].
    windows jsonb NOT NULL DEFAULT '[]',
    -- The host wants no requests, from this lane on. Only ever raised.
    paused_until timestamptz,
    pause_class text,
    pause_lane smallint,
    -- The worker chose not to send, from this lane on. Each report replaces it.
    rests_until timestamptz,
    rest_class text,
    rest_lane smallint,
    -- Secondary limits met, as of struck_at: one less for each hour since.
    secondary_strikes integer NOT NULL DEFAULT 0,
    struck_at timestamptz,
    cautious_until timestamptz,
    -- How often an operator has resumed it: no pause of before that is noted any more.
    resumes bigint NOT NULL DEFAULT 0,

    CONSTRAINT git_budgets_lane_check CHECK (
        lane BETWEEN 1 AND 4 AND pause_lane BETWEEN 1 AND 4 AND rest_lane BETWEEN 1 AND 4
    ),
    CONSTRAINT git_budgets_lease_check CHECK (
        (lease_token IS NULL) = (lease_expires_at IS NULL)
        AND (lease_token IS NULL) = (lease_worker IS NULL)
        AND (lease_token IS NULL) = (lease_request_id IS NULL)
    ),
    CONSTRAINT git_budgets_pause_check CHECK (
        (paused_until IS NULL) = (pause_class IS NULL)
        AND (paused_until IS NULL) = (pause_lane IS NULL)
        AND (rests_until IS NULL) = (rest_class IS NULL)
        AND (rests_until IS NULL) = (rest_lane IS NULL)
    ),
    CONSTRAINT git_budgets_counts_check CHECK (
        leased_refs >= 0 AND lost_leases >= 0 AND secondary_strikes >= 0 AND demand >= 0
        AND octet_length(account_id) BETWEEN 1 AND 100
    ),
    CONSTRAINT git_budgets_windows_check CHECK (jsonb_typeof(windows) = 'array')
) WITH (fillfactor = 70);

-- The queue: the budgets of each lane by their place.
CREATE INDEX git_budgets_queue_idx ON git_budgets (lane, queue_at) WHERE queue_at IS NOT NULL;
-- Partial, so that it makes no key of the row: a lease is written while accounts and tokens refer
-- to it.
CREATE UNIQUE INDEX git_budgets_lease_token_key ON git_budgets (lease_token)
    WHERE lease_token IS NOT NULL;

-- A user at a provider, from the first report or link on. A ref belongs to one account for ever;
-- linking, unlinking and learning whose a token is change this row, however many refs there are.
CREATE TABLE git_accounts (
    id uuid NOT NULL CONSTRAINT git_accounts_pkey PRIMARY KEY,
    user_id uuid NOT NULL,
    provider_id text NOT NULL,
    -- What its lookups spend. NULL without a credential: then it has no place in the queue.
    budget_id uuid CONSTRAINT git_accounts_budget_id_fkey REFERENCES git_budgets (id),
    -- What it spent before it was unlinked: its next token begins with the pauses of that. May be
    -- gone.
    former_budget_id uuid,
    -- none: nothing is linked. accepted: until the host says otherwise. suspect: refused, which is
    -- to be confirmed. rejected: refused each time, or expired. Both are tried again at retry_at;
    -- one that is rejected without that can be neither used nor renewed.
    credential_state text NOT NULL DEFAULT 'none',
    -- Raised whenever a token is linked or unlinked.
    generation bigint NOT NULL DEFAULT 0,
    -- How often in a row the host refused it.
    refusals smallint NOT NULL DEFAULT 0,
    retry_at timestamptz,
    -- Of a token that can be renewed: it counts as expired from then on, and is not leased before
    -- it was renewed. A claim that meets it holds the account until held_until at most.
    usable_until timestamptz,
    held_until timestamptz,
    -- The class of the failed renewal, NULL after one that succeeded.
    renewal_problem text,
    -- Pending work of the relay after a change of the credential: notify watchers, and make due
    -- what the former credential could not look up.
    unannounced boolean NOT NULL DEFAULT false,
    requeue_denied boolean NOT NULL DEFAULT false,
    -- Lane and due time of its most urgent ref, and not before retry_at. NULL: nothing is planned.
    lane smallint NOT NULL DEFAULT 4,
    next_due_at timestamptz,
    CONSTRAINT git_accounts_user_id_provider_id_key UNIQUE (user_id, provider_id),
    CONSTRAINT git_accounts_lane_check CHECK (lane BETWEEN 1 AND 4),
    CONSTRAINT git_accounts_credential_check CHECK (
        credential_state IN ('none', 'accepted', 'suspect', 'rejected')
        AND (credential_state = 'none') = (budget_id IS NULL)
        AND CASE credential_state
            WHEN 'suspect' THEN retry_at IS NOT NULL
            WHEN 'rejected' THEN TRUE
            ELSE retry_at IS NULL
        END
        AND (refusals > 0) = (retry_at IS NOT NULL)
    )
) WITH (fillfactor = 70);

CREATE INDEX git_accounts_queue_idx ON git_accounts (budget_id, lane, next_due_at)
    WHERE budget_id IS NOT NULL;
CREATE INDEX git_accounts_changed_idx ON git_accounts (id) WHERE unannounced OR requeue_denied;
-- Few, whatever the number of accounts: those whose credential the host has refused are counted.
CREATE INDEX git_accounts_refused_idx ON git_accounts (provider_id, credential_state)
    WHERE retry_at IS NOT NULL;

-- Accounts, and why the host is not asked with one now, even for a person who waits, and until
-- when, if that is known: it has no usable credential, or its budget spends nothing. NULL: it can
-- be asked.
CREATE VIEW git_account_states AS
SELECT a.id, a.budget_id, a.generation, w.class AS withheld_class, w.until AS withheld_until
FROM git_accounts a
LEFT JOIN git_budgets b ON b.id = a.budget_id
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN a.credential_state = 'none' THEN 'no_account'
            WHEN a.retry_at > now() THEN 'credential_' || a.credential_state
            WHEN a.credential_state = 'rejected' AND a.retry_at IS NULL THEN 'credential_rejected'
            WHEN a.held_until > now() AND a.renewal_problem IS NOT NULL THEN a.renewal_problem
            ELSE (array_agg(s.class ORDER BY s.until DESC))[1]
        END AS class,
        CASE
            WHEN a.retry_at > now() THEN a.retry_at
            WHEN a.held_until > now() AND a.renewal_problem IS NOT NULL THEN a.held_until
            ELSE max(s.until)
        END AS until
    FROM (VALUES
        (b.pause_class, b.paused_until, b.pause_lane),
        (b.rest_class, b.rests_until, b.rest_lane)
    ) AS s (class, until, lane)
    WHERE s.until > now()
        AND s.lane = 1
) AS w;

-- An account's tokens, sealed with AES-256-GCM under the key key_id; the account's id and the
-- column's name are the associated data, so a sealed value that is copied elsewhere does not open.
CREATE TABLE git_credentials (
    account_id uuid NOT NULL CONSTRAINT git_credentials_pkey PRIMARY KEY
        CONSTRAINT git_credentials_account_id_fkey REFERENCES git_accounts (id) ON DELETE CASCADE,
    key_id text NOT NULL,
    access_token_sealed bytea NOT NULL,
    refresh_token_sealed bytea,
    expires_at timestamptz,
    linked_at timestamptz NOT NULL DEFAULT now(),
    -- When the refresh token dies; half a year if the host does not say.
    refresh_expires_at timestamptz,
    -- When to see whether the tokens are to be renewed. A process that renews them moves it to when
    -- its lease of that expires, and a failure to after a backoff. NULL: they cannot be renewed.
    renew_at timestamptz,
    -- The lease's token, while a process renews them. A refresh token works once, so it has one
    -- sender.
    renewal_lease uuid,
    -- Renewals in a row that failed.
    renewal_failures smallint NOT NULL DEFAULT 0,
    CONSTRAINT git_credentials_renewal_check CHECK (
        renewal_failures >= 0
        AND (refresh_token_sealed IS NOT NULL OR (renew_at IS NULL AND renewal_lease IS NULL))
    )
);

CREATE INDEX git_credentials_renew_at_idx ON git_credentials (renew_at) WHERE renew_at IS NOT NULL;

-- Which budget a token spent, so that one that is linked again, or by a second user, meets its
-- pauses. Kept for a day after the last use.
CREATE TABLE git_tokens (
    -- A keyed hash of the token, as in the budget key of a token.
    token_key text NOT NULL CONSTRAINT git_tokens_pkey PRIMARY KEY,
    budget_id uuid NOT NULL
        CONSTRAINT git_tokens_budget_id_fkey REFERENCES git_budgets (id),
    used_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX git_tokens_budget_id_idx ON git_tokens (budget_id);
