-- The whole schema at a glance: the result of the numbered files, without their reasons. A test
-- loads it into a second database and compares the catalogs. Regenerate it by hand when a file is
-- added.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE chats (
    id uuid NOT NULL CONSTRAINT chats_pkey PRIMARY KEY,
    owner_id uuid NOT NULL,
    organization_id uuid,
    workspace_id uuid,
    title text NOT NULL,
    title_key text GENERATED ALWAYS AS (lower(title)) STORED,
    status text NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}',
    archived boolean NOT NULL DEFAULT false,
    create_request_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),

    primary_repository_key text,
    primary_pr_number integer,
    primary_pr_state text,
    primary_pr_draft boolean,
    primary_attention smallint NOT NULL DEFAULT 0,

    list_status smallint GENERATED ALWAYS AS (
        coalesce(array_position(
            ARRAY['waiting', 'pending', 'running', 'paused', 'completed', 'error'], status
        ), 0)::smallint
    ) STORED,
    list_pr smallint GENERATED ALWAYS AS (
        CASE
            WHEN primary_pr_state = 'open' AND NOT primary_pr_draft THEN 1
            WHEN primary_pr_state = 'open' THEN 2
            WHEN primary_pr_state = 'merged' THEN 3
            WHEN primary_pr_state = 'closed' THEN 4
            ELSE 0
        END::smallint
    ) STORED,

    CONSTRAINT chats_title_check CHECK (char_length(title) BETWEEN 1 AND 200),
    CONSTRAINT chats_status_check CHECK (
        status IN ('waiting', 'pending', 'running', 'paused', 'completed', 'error')
    ),
    CONSTRAINT chats_labels_check CHECK (jsonb_typeof(labels) = 'object'),
    CONSTRAINT chats_primary_pr_check CHECK (
        primary_pr_state IN ('open', 'merged', 'closed')
        AND (primary_pr_state IS NULL) = (primary_pr_number IS NULL)
        AND (primary_pr_state IS NULL) = (primary_pr_draft IS NULL)
    ),
    CONSTRAINT chats_primary_attention_check CHECK (
        primary_attention = 0 OR (primary_pr_state = 'open') IS TRUE
    ),
    CONSTRAINT chats_owner_id_create_request_id_key UNIQUE (owner_id, create_request_id)
);

ALTER TABLE chats ALTER COLUMN title_key SET STATISTICS 500;

CREATE INDEX chats_updated_at_idx ON chats (updated_at DESC, id DESC);
CREATE INDEX chats_owner_id_idx ON chats (owner_id, updated_at DESC, id DESC);
CREATE INDEX chats_organization_id_idx ON chats (organization_id, updated_at DESC, id DESC)
    WHERE organization_id IS NOT NULL;
CREATE INDEX chats_owner_organization_idx
    ON chats (owner_id, organization_id, updated_at DESC, id DESC)
    WHERE organization_id IS NOT NULL;
CREATE INDEX chats_workspace_id_idx ON chats (workspace_id, updated_at DESC, id DESC)
    WHERE workspace_id IS NOT NULL;
CREATE INDEX chats_owner_filter_idx
    ON chats (owner_id, archived, list_status, list_pr, updated_at DESC, id DESC);
CREATE INDEX chats_organization_filter_idx
    ON chats (organization_id, archived, list_status, list_pr, updated_at DESC, id DESC)
    WHERE organization_id IS NOT NULL;
CREATE INDEX chats_filter_idx
    ON chats (archived, list_status, list_pr, updated_at DESC, id DESC);
CREATE INDEX chats_owner_attention_idx
    ON chats (
        owner_id, archived, list_status, list_pr, primary_attention, updated_at DESC, id DESC
    )
    WHERE primary_attention > 0;
CREATE INDEX chats_organization_attention_idx
    ON chats (
        organization_id, archived, list_status, list_pr, primary_attention, updated_at DESC, id DESC
    )
    WHERE organization_id IS NOT NULL AND primary_attention > 0;
CREATE INDEX chats_attention_idx
    ON chats (archived, list_status, list_pr, primary_attention, updated_at DESC, id DESC)
    WHERE primary_attention > 0;
CREATE INDEX chats_primary_repository_idx
    ON chats (primary_repository_key, updated_at DESC, id DESC)
    WHERE primary_repository_key IS NOT NULL;
CREATE INDEX chats_primary_pr_number_idx ON chats (primary_pr_number, updated_at DESC, id DESC)
    WHERE primary_pr_number IS NOT NULL;
CREATE INDEX chats_title_idx ON chats USING gin (title_key gin_trgm_ops)
    WITH (gin_pending_list_limit = 256);
CREATE INDEX chats_labels_idx ON chats USING gin (labels jsonb_path_ops)
    WITH (gin_pending_list_limit = 256);

CREATE TABLE chat_acl (
    chat_id uuid NOT NULL CONSTRAINT chat_acl_chat_id_fkey REFERENCES chats (id) ON DELETE CASCADE,
    subject_kind text NOT NULL,
    subject_id uuid NOT NULL,
    level text NOT NULL,
    owner_id uuid NOT NULL,
    chat_updated_at timestamptz NOT NULL,
    chat_archived boolean NOT NULL,
    chat_status smallint NOT NULL,
    chat_pr smallint NOT NULL,
    chat_attention smallint NOT NULL,
    CONSTRAINT chat_acl_pkey PRIMARY KEY (chat_id, subject_kind, subject_id),
    CONSTRAINT chat_acl_subject_kind_check CHECK (subject_kind IN ('user', 'group')),
    CONSTRAINT chat_acl_level_check CHECK (level IN ('reader', 'writer'))
);

CREATE INDEX chat_acl_subject_idx
    ON chat_acl (
        subject_id, chat_updated_at DESC, chat_id DESC, chat_archived, chat_status, chat_pr,
        chat_attention, subject_kind
    );
CREATE INDEX chat_acl_owner_id_idx
    ON chat_acl (subject_kind, subject_id, owner_id, chat_updated_at DESC, chat_id DESC);

CREATE TABLE git_budgets (
    id uuid NOT NULL CONSTRAINT git_budgets_pkey PRIMARY KEY,
    provider_id text NOT NULL,
    budget_key text NOT NULL CONSTRAINT git_budgets_budget_key_key UNIQUE,
    account_id text,

    queue_at timestamptz,
    lane smallint NOT NULL DEFAULT 4,
    interactive_since timestamptz,

    lease_token uuid,
    lease_expires_at timestamptz,
    lease_worker text,
    lease_request_id uuid,
    leased_at timestamptz,
    leased_refs integer NOT NULL DEFAULT 0,
    lost_leases integer NOT NULL DEFAULT 0,
    demand double precision NOT NULL DEFAULT 0,
    demand_at timestamptz,

    windows jsonb NOT NULL DEFAULT '[]',
    paused_until timestamptz,
    pause_class text,
    pause_lane smallint,
    rests_until timestamptz,
    rest_class text,
    rest_lane smallint,
    secondary_strikes integer NOT NULL DEFAULT 0,
    struck_at timestamptz,
    cautious_until timestamptz,
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

CREATE INDEX git_budgets_queue_idx ON git_budgets (lane, queue_at) WHERE queue_at IS NOT NULL;
CREATE UNIQUE INDEX git_budgets_lease_token_key ON git_budgets (lease_token)
    WHERE lease_token IS NOT NULL;

CREATE TABLE git_accounts (
    id uuid NOT NULL CONSTRAINT git_accounts_pkey PRIMARY KEY,
    user_id uuid NOT NULL,
    provider_id text NOT NULL,
    budget_id uuid CONSTRAINT git_accounts_budget_id_fkey REFERENCES git_budgets (id),
    former_budget_id uuid,
    credential_state text NOT NULL DEFAULT 'none',
    generation bigint NOT NULL DEFAULT 0,
    refusals smallint NOT NULL DEFAULT 0,
    retry_at timestamptz,
    usable_until timestamptz,
    held_until timestamptz,
    renewal_problem text,
    unannounced boolean NOT NULL DEFAULT false,
    requeue_denied boolean NOT NULL DEFAULT false,
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
CREATE INDEX git_accounts_refused_idx ON git_accounts (provider_id, credential_state)
    WHERE retry_at IS NOT NULL;

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

CREATE TABLE git_credentials (
    account_id uuid NOT NULL CONSTRAINT git_credentials_pkey PRIMARY KEY
        CONSTRAINT git_credentials_account_id_fkey REFERENCES git_accounts (id) ON DELETE CASCADE,
    key_id text NOT NULL,
    access_token_sealed bytea NOT NULL,
    refresh_token_sealed bytea,
    expires_at timestamptz,
    linked_at timestamptz NOT NULL DEFAULT now(),
    refresh_expires_at timestamptz,
    renew_at timestamptz,
    renewal_lease uuid,
    renewal_failures smallint NOT NULL DEFAULT 0,
    CONSTRAINT git_credentials_renewal_check CHECK (
        renewal_failures >= 0
        AND (refresh_token_sealed IS NOT NULL OR (renew_at IS NULL AND renewal_lease IS NULL))
    )
);

CREATE INDEX git_credentials_renew_at_idx ON git_credentials (renew_at) WHERE renew_at IS NOT NULL;

CREATE TABLE git_tokens (
    token_key text NOT NULL CONSTRAINT git_tokens_pkey PRIMARY KEY,
    budget_id uuid NOT NULL
        CONSTRAINT git_tokens_budget_id_fkey REFERENCES git_budgets (id),
    used_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX git_tokens_budget_id_idx ON git_tokens (budget_id);

CREATE TABLE git_refs (
    id uuid NOT NULL CONSTRAINT git_refs_pkey PRIMARY KEY,
    chat_id uuid NOT NULL
        CONSTRAINT git_refs_chat_id_fkey REFERENCES chats (id) ON DELETE CASCADE,
    account_id uuid NOT NULL
        CONSTRAINT git_refs_account_id_fkey REFERENCES git_accounts (id),

    provider_id text NOT NULL,
    git_remote_origin text NOT NULL,
    repository text NOT NULL,
    repository_key text NOT NULL GENERATED ALWAYS AS (lower(repository)) STORED,
    git_branch text NOT NULL,
    commit_sha text,
    is_primary boolean NOT NULL DEFAULT false,
    reported_at timestamptz NOT NULL DEFAULT now(),

    upstream_repository text,
    canonical_repository text,

    pull_request jsonb,
    pr_repository text,
    pr_host_id text,
    pr_updated_at timestamptz,
    attention smallint NOT NULL GENERATED ALWAYS AS (
        (CASE WHEN pull_request ->> 'state' = 'open' THEN
            ((pull_request #>> '{head,merge_state}' = 'conflicting') IS TRUE)::integer
            + 2 * (
                (pull_request ->> 'changes_requested' = 'true') IS TRUE
                OR (pull_request ->> 'review_decision' = 'changes_requested') IS TRUE
            )::integer
            + 4 * ((pull_request #>> '{head,checks,state}' = 'failing') IS TRUE)::integer
            + 8 * (
                (pull_request #>> '{head,merge_state}' = 'clean') IS TRUE
                AND (pull_request #>> '{head,checks,state}' IN ('none', 'passing')) IS TRUE
                AND (pull_request ->> 'draft' = 'false') IS TRUE
                AND (pull_request ->> 'changes_requested' = 'false') IS TRUE
                AND (
                    pull_request ->> 'review_decision' IN ('changes_requested', 'review_required')
                ) IS NOT TRUE
                AND (pull_request -> 'queue_position' > '0') IS NOT TRUE
            )::integer
        ELSE 0 END)::smallint
    ) STORED,

    problem_class text,
    problem_since timestamptz,

    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT git_refs_ref_key UNIQUE (chat_id, provider_id, repository_key, git_branch),
    CONSTRAINT git_refs_pull_request_check CHECK (
        (pull_request IS NULL) = (pr_repository IS NULL)
        AND (
            pull_request IS NULL
            OR (
                pull_request ->> 'state' IN ('open', 'merged', 'closed')
                AND jsonb_typeof(pull_request -> 'number') = 'number'
                AND jsonb_typeof(pull_request -> 'draft') = 'boolean'
            )
        )
    ),
    CONSTRAINT git_refs_problem_check CHECK ((problem_class IS NULL) = (problem_since IS NULL)),
    CONSTRAINT git_refs_text_check CHECK (
        octet_length(git_branch) <= 255 AND octet_length(git_remote_origin) <= 2048
        AND octet_length(repository) <= 1024 AND octet_length(upstream_repository) <= 1024
        AND octet_length(canonical_repository) <= 1024
    )
) WITH (fillfactor = 85);

CREATE UNIQUE INDEX git_refs_primary_key ON git_refs (chat_id) WHERE is_primary;
CREATE INDEX git_refs_account_id_idx ON git_refs (account_id, repository_key);
CREATE INDEX git_refs_branch_idx ON git_refs (repository_key, git_branch, id);
CREATE INDEX git_refs_pr_host_id_idx ON git_refs (provider_id, pr_host_id)
    WHERE pr_host_id IS NOT NULL;
CREATE INDEX git_refs_failed_idx ON git_refs (account_id) WHERE octet_length(problem_class) > 0;
CREATE INDEX git_refs_problem_idx ON git_refs (problem_class, problem_since)
    WHERE problem_class > '';

CREATE TABLE git_ref_polls (
    ref_id uuid NOT NULL CONSTRAINT git_ref_polls_pkey PRIMARY KEY
        CONSTRAINT git_ref_polls_ref_id_fkey REFERENCES git_refs (id) ON DELETE CASCADE,
    account_id uuid NOT NULL,
    report_seq bigint NOT NULL DEFAULT 1,
    found_at timestamptz,
    changed_at timestamptz,
    viewed_until timestamptz,
    failures integer NOT NULL DEFAULT 0,
    misses integer NOT NULL DEFAULT 0,
    settled_count integer NOT NULL DEFAULT 0,

    looks bigint NOT NULL DEFAULT 0,
    outcome_seq bigint NOT NULL DEFAULT 0,
    due_at timestamptz,
    early_at timestamptz,
    refreshed_at timestamptz,
    base_interval_seconds real,
    unchanged_count integer NOT NULL DEFAULT 0,
    lane smallint NOT NULL DEFAULT 3,

    fingerprint text,
    traceparent text,

    CONSTRAINT git_ref_polls_due_check CHECK (
        (due_at IS NULL) = (early_at IS NULL) AND early_at <= due_at
    ),
    CONSTRAINT git_ref_polls_lane_check CHECK (lane BETWEEN 1 AND 4),
    CONSTRAINT git_ref_polls_learned_check CHECK (
        octet_length(fingerprint) <= 512 AND octet_length(traceparent) <= 55
        AND base_interval_seconds > 0
    ),
    CONSTRAINT git_ref_polls_counts_check CHECK (
        looks >= 0 AND failures >= 0 AND misses >= 0 AND settled_count >= 0
        AND unchanged_count >= 0
    )
) WITH (fillfactor = 70);

CREATE INDEX git_ref_polls_due_idx ON git_ref_polls (account_id, lane, due_at)
    WHERE due_at IS NOT NULL;

CREATE TABLE git_ref_attentions (
    ref_id uuid NOT NULL
        CONSTRAINT git_ref_attentions_ref_id_fkey REFERENCES git_refs (id) ON DELETE CASCADE,
    kind smallint NOT NULL,
    head_sha text NOT NULL,
    review_ids jsonb NOT NULL DEFAULT '[]',
    raised_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT git_ref_attentions_pkey PRIMARY KEY (ref_id, kind),
    CONSTRAINT git_ref_attentions_kind_check CHECK (kind > 0),
    CONSTRAINT git_ref_attentions_review_ids_check CHECK (jsonb_typeof(review_ids) = 'array')
);

CREATE TABLE change_events (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT change_events_pkey PRIMARY KEY,
    position bigint CONSTRAINT change_events_position_key UNIQUE,
    chat_id uuid NOT NULL,
    kind text NOT NULL,
    former jsonb,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT change_events_kind_check CHECK (
        kind IN (
            'created', 'updated', 'status_changed', 'diff_status_changed', 'attention', 'archived',
            'deleted'
        )
    )
);

CREATE INDEX change_events_unplaced_idx ON change_events (id) WHERE position IS NULL;
CREATE INDEX change_events_recorded_at_idx ON change_events (recorded_at);

CREATE TABLE change_relay (
    id boolean NOT NULL DEFAULT true CONSTRAINT change_relay_pkey PRIMARY KEY,
    holder uuid,
    epoch bigint NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT '-infinity',
    position bigint NOT NULL DEFAULT 0,
    forgotten_position bigint NOT NULL DEFAULT 0,
    generation uuid NOT NULL DEFAULT gen_random_uuid(),
    server text,
    CONSTRAINT change_relay_id_check CHECK (id)
);

CREATE TABLE sync_requests (
    request_id uuid NOT NULL CONSTRAINT sync_requests_pkey PRIMARY KEY,
    budget_ids uuid[],
    answer text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sync_requests_kind_check CHECK ((budget_ids IS NULL) <> (answer IS NULL))
);

CREATE INDEX sync_requests_created_at_idx ON sync_requests (created_at);

CREATE UNLOGGED TABLE git_diffs (
    ref_id uuid NOT NULL CONSTRAINT git_diffs_pkey PRIMARY KEY
        CONSTRAINT git_diffs_ref_id_fkey REFERENCES git_refs (id) ON DELETE CASCADE,
    account_id uuid NOT NULL,
    asked bigint NOT NULL DEFAULT 1,
    answered bigint NOT NULL DEFAULT 0,
    wanted_until timestamptz NOT NULL,

    report_seq bigint,
    generation bigint,
    head_sha text,
    result text,
    problem_class text,
    retry_at timestamptz,
    pr_number integer,
    base_branch text,
    content bytea,
    fetched_at timestamptz,
    expires_at timestamptz,

    CONSTRAINT git_diffs_asked_check CHECK (asked >= 1 AND answered BETWEEN 0 AND asked),
    CONSTRAINT git_diffs_result_check CHECK (
        result IN ('found', 'too_large', 'missing', 'failed')
        AND (result IS NULL) = (answered = 0)
        AND (result IS NULL) = (expires_at IS NULL)
        AND (result IS NULL) = (fetched_at IS NULL)
        AND (result IS NULL) = (report_seq IS NULL)
        AND (result IS NULL) = (generation IS NULL)
        AND ((result = 'found') IS TRUE) = (content IS NOT NULL)
        AND ((result = 'failed') IS TRUE) = (problem_class IS NOT NULL)
    ),
    CONSTRAINT git_diffs_size_check CHECK (octet_length(content) <= 4194304),
    CONSTRAINT git_diffs_text_check CHECK (
        octet_length(head_sha) <= 255 AND octet_length(base_branch) <= 255
    )
) WITH (fillfactor = 70);

ALTER TABLE git_diffs ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE INDEX git_diffs_account_id_idx ON git_diffs (account_id);
