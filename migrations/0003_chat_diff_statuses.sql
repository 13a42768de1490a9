-- One row per git ref of a chat: what was reported, the pull request as last known, and when it is
-- due. Written by chat-service only.

CREATE TABLE chat_diff_statuses (
    id uuid NOT NULL CONSTRAINT chat_diff_statuses_pkey PRIMARY KEY,
    chat_id uuid NOT NULL
        CONSTRAINT chat_diff_statuses_chat_id_fkey REFERENCES chats (id) ON DELETE CASCADE,
    -- The chat's owner, who never changes: whose credential looks this ref up.
    owner_id uuid NOT NULL,

    -- What was reported. The origin is kept without user info.
    provider_id text NOT NULL,
    git_remote_origin text NOT NULL,
    repository_owner text NOT NULL,
    repository_name text NOT NULL,
    -- Hosts compare owner and name without case.
    repository_key text NOT NULL
        GENERATED ALWAYS AS (lower(repository_owner || '/' || repository_name)) STORED,
    git_branch text NOT NULL,
    commit_sha text,
    is_primary boolean NOT NULL DEFAULT false,
    reported_at timestamptz NOT NULL DEFAULT now(),
    -- Raised by every report; an outcome of an older one does not end the need to look.
    report_seq bigint NOT NULL DEFAULT 1,

    -- The pull request as last known.
    url text,
    pull_request_state text,
    pull_request_title text NOT NULL DEFAULT '',
    pull_request_draft boolean NOT NULL DEFAULT false,
    changes_requested boolean NOT NULL DEFAULT false,
    additions integer NOT NULL DEFAULT 0,
    deletions integer NOT NULL DEFAULT 0,
    changed_files integer NOT NULL DEFAULT 0,
    head_branch text,
    base_branch text,
    head_sha text,
    author_login text,
    author_avatar_url text,
    pr_number integer,
    commits integer,
    approved boolean,
    reviewer_count integer,
    refreshed_at timestamptz,
    -- The repository that the pull request is in, and the host's own id of it.
    pr_repository text,
    pr_node_id text,
    -- What this repository is a fork of; empty when it is none; NULL when not known.
    upstream_repository text,

    -- When to look again. NULL: not until something happens.
    budget_id uuid NOT NULL
        CONSTRAINT chat_diff_statuses_budget_id_fkey REFERENCES git_budgets (id),
    due_at timestamptz,
    -- From when on a lease of its budget takes it along, so that batches stay full.
    early_at timestamptz,
    -- 1 interactive, 2 viewed, 3 active, 4 idle: `chat.v1.Lane`.
    lane smallint NOT NULL DEFAULT 3,
    -- The lease that holds it, while that lease lives (git_budgets.lease_token).
    lease_token uuid,
    -- Outcomes so far, of every kind. RefreshChat waits for the next one.
    outcome_seq bigint NOT NULL DEFAULT 0,
    -- In a row: failed refreshes, refreshes without a pull request, and refreshes since the last
    -- report that found the same merged or closed one.
    failures integer NOT NULL DEFAULT 0,
    misses integer NOT NULL DEFAULT 0,
    settled_count integer NOT NULL DEFAULT 0,

    -- Why the last refresh brought nothing; NULL when it worked. Never changes what is known above.
    problem_class text,
    problem_since timestamptz,
    problem_until timestamptz,

    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT chat_diff_statuses_ref_key
        UNIQUE (chat_id, provider_id, repository_key, git_branch),
    CONSTRAINT chat_diff_statuses_state_check CHECK (
        pull_request_state IN ('open', 'merged', 'closed')
    ),
    -- A known pull request is known by its page, its number and its repository.
    CONSTRAINT chat_diff_statuses_pull_request_check CHECK (
        (pull_request_state IS NULL) = (url IS NULL)
        AND (pull_request_state IS NULL) = (pr_number IS NULL)
        AND (pull_request_state IS NULL) = (pr_repository IS NULL)
    ),
    CONSTRAINT chat_diff_statuses_counts_check CHECK (
        additions >= 0 AND deletions >= 0 AND changed_files >= 0 AND commits >= 0
        AND reviewer_count >= 0 AND pr_number > 0
    ),
    CONSTRAINT chat_diff_statuses_due_check CHECK (
        (due_at IS NULL) = (early_at IS NULL) AND early_at <= due_at
    ),
    CONSTRAINT chat_diff_statuses_lane_check CHECK (lane BETWEEN 1 AND 4),
    CONSTRAINT chat_diff_statuses_problem_check CHECK (
        (problem_class IS NULL) = (problem_since IS NULL)
    ),
    CONSTRAINT chat_diff_statuses_text_check CHECK (
        char_length(pull_request_title) <= 1024 AND octet_length(git_branch) <= 255
        AND octet_length(git_remote_origin) <= 2048
    )
);

CREATE UNIQUE INDEX chat_diff_statuses_primary_key ON chat_diff_statuses (chat_id) WHERE is_primary;
-- By lane first: a lease takes the most urgent of a budget's due refs without sorting them all.
CREATE INDEX chat_diff_statuses_due_at_idx ON chat_diff_statuses (budget_id, lane, due_at)
    WHERE due_at IS NOT NULL;
CREATE INDEX chat_diff_statuses_early_at_idx ON chat_diff_statuses (budget_id, early_at)
    WHERE early_at IS NOT NULL;
-- A budget goes when no ref is in it.
CREATE INDEX chat_diff_statuses_budget_id_idx ON chat_diff_statuses (budget_id);
CREATE INDEX chat_diff_statuses_lease_token_idx ON chat_diff_statuses (lease_token)
    WHERE lease_token IS NOT NULL;
CREATE INDEX chat_diff_statuses_owner_id_idx ON chat_diff_statuses (owner_id, provider_id);
