-- What is learned of a budget key beyond its REST limit, its place in the queue of keys, and what the
-- host thinks of a credential. Written by chat-service only.

ALTER TABLE git_budgets
    -- The GraphQL interface has a limit of its own, in points.
    ADD COLUMN graphql_limit bigint,
    ADD COLUMN graphql_remaining bigint,
    ADD COLUMN graphql_reset_at timestamptz,
    -- Nothing is sent to that interface before this; `paused_until` is for both. Only ever raised.
    ADD COLUMN rest_paused_until timestamptz,
    ADD COLUMN graphql_paused_until timestamptz,
    -- Secondary limits met, as of `struck_at`: one is forgiven for each hour since.
    ADD COLUMN secondary_strikes integer NOT NULL DEFAULT 0,
    ADD COLUMN struck_at timestamptz,
    ADD COLUMN cautious_until timestamptz,
    -- GraphQL requests sent lately, as of `burst_at`: one is forgiven every 3 s.
    ADD COLUMN burst_level double precision NOT NULL DEFAULT 0,
    ADD COLUMN burst_at timestamptz,
    -- How many refs to ask for at once, as last learned.
    ADD COLUMN batch_probe integer,
    ADD COLUMN batch_detail integer,
    ADD COLUMN batch_discover integer,
    -- Refs per second that its refs ask for at their base intervals, as of `demand_at`.
    ADD COLUMN demand double precision NOT NULL DEFAULT 0,
    ADD COLUMN demand_at timestamptz,
    -- In which queue of keys it waits: 2 viewed, 3 active, 4 idle. What somebody waits for has
    -- `interactive_since`.
    ADD COLUMN lane smallint NOT NULL DEFAULT 3,
    -- Refs that its last turn still owes it, since the claim was full. 0: the turn is over.
    ADD COLUMN turn_left integer NOT NULL DEFAULT 0,
    -- Whose account it is, as the host itself told a lease's holder. While `budget_key` is that of a
    -- token, the key is still to be merged with the account's.
    ADD COLUMN account_id text;

ALTER TABLE git_budgets
    ADD CONSTRAINT git_budgets_lane_check CHECK (lane BETWEEN 2 AND 4) NOT VALID,
    ADD CONSTRAINT git_budgets_learned_check CHECK (
        secondary_strikes >= 0 AND burst_level >= 0 AND demand >= 0 AND turn_left >= 0
        AND batch_probe > 0 AND batch_detail > 0 AND batch_discover > 0
        AND octet_length(account_id) BETWEEN 1 AND 100
    ) NOT VALID;

ALTER TABLE git_accounts
    -- What the host said of the access token: accepted until it says otherwise; suspect once it was
    -- refused, to be confirmed after `confirm_after`; rejected for good, until another is linked.
    ADD COLUMN credential_state text NOT NULL DEFAULT 'accepted',
    ADD COLUMN confirm_after timestamptz;

ALTER TABLE git_accounts
    ADD CONSTRAINT git_accounts_credential_check CHECK (
        credential_state IN ('accepted', 'suspect', 'rejected')
        AND (credential_state = 'suspect') = (confirm_after IS NOT NULL)
    ) NOT VALID;

-- Numbers the claims, so that the lanes take turns over all replicas.
CREATE SEQUENCE sync_turns MINVALUE 0 CYCLE;
