-- Git refs of chats: what was reported, the pull request as it is shown, and when to look again.
-- Written by chat-service only.

-- What was reported and what is shown. Written when either changes. Its row in git_ref_polls is its
-- lock: a writer of this row has locked that one before.
CREATE TABLE git_refs (
    id uuid NOT NULL CONSTRAINT git_refs_pkey PRIMARY KEY,
    chat_id uuid NOT NULL
        CONSTRAINT git_refs_chat_id_fkey REFERENCES chats (id) ON DELETE CASCADE,
    -- The chat owner's at the origin's provider, for ever.
    account_id uuid NOT NULL
        CONSTRAINT git_refs_account_id_fkey REFERENCES git_accounts (id),

    -- What was reported. The origin is kept without user info.
    provider_id text NOT NULL,
    git_remote_origin text NOT NULL,
    repository text NOT NULL,
    -- Hosts compare paths without case.
    repository_key text NOT NULL GENERATED ALWAYS AS (lower(repository)) STORED,
    git_branch text NOT NULL,
    commit_sha text,
    is_primary boolean NOT NULL DEFAULT false,
    reported_at timestamptz NOT NULL DEFAULT now(),

    -- What the repository is a fork of (empty: no fork; NULL: not known), and what the host calls
    -- it now (NULL: as it was reported).
    upstream_repository text,
    canonical_repository text,

    -- Exactly what is shown of the pull request, so that equal values mean no event; and what
    -- identifies and orders it: its repository, the host's own id, and when it last changed by the
    -- host's clock.
    pull_request jsonb,
    pr_repository text,
    pr_host_id text,
    pr_updated_at timestamptz,
    -- What an open one needs attention for now, as a sum: 1 it conflicts, 2 a reviewer asks for
    -- changes, 4 its checks failed, 8 it is ready to merge, as PullRequest::is_ready_to_merge has
    -- it.
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

    -- Why the last refresh brought nothing; NULL when it worked. Problems of the account and the
    -- budget are joined when a chat is read.
    problem_class text,
    problem_since timestamptz,

    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT git_refs_ref_key UNIQUE (chat_id, provider_id, repository_key, git_branch),
    -- A known pull request has a state, a number and a repository.
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
-- An account's refs in one repository: what a problem of the repository concerns.
CREATE INDEX git_refs_account_id_idx ON git_refs (account_id, repository_key);
-- The refs of one branch: all its chats are shown the same pull request.
CREATE INDEX git_refs_branch_idx ON git_refs (repository_key, git_branch, id);
-- The refs that follow a pull request that one owner's lookup has seen to change.
CREATE INDEX git_refs_pr_host_id_idx ON git_refs (provider_id, pr_host_id)
    WHERE pr_host_id IS NOT NULL;
-- An account's refs that have a problem: what a new token makes due, among very many that have
-- none. By a condition of its own, like the next one.
CREATE INDEX git_refs_failed_idx ON git_refs (account_id) WHERE octet_length(problem_class) > 0;
-- For operators: how many refs have which problem, without a look at those that have none. By a
-- condition that no other statement has, so that none takes this index in place of its own.
CREATE INDEX git_refs_problem_idx ON git_refs (problem_class, problem_since)
    WHERE problem_class > '';

-- Everything by which an outcome is judged, so that one row lock decides; written by each report
-- and each refresh, and it alone when nothing changed.
CREATE TABLE git_ref_polls (
    ref_id uuid NOT NULL CONSTRAINT git_ref_polls_pkey PRIMARY KEY
        CONSTRAINT git_ref_polls_ref_id_fkey REFERENCES git_refs (id) ON DELETE CASCADE,
    account_id uuid NOT NULL,
    -- Raised by every report of the ref, and by a hint that its pull request changed.
    report_seq bigint NOT NULL DEFAULT 1,
    -- When the whole status was last found, and when it last changed.
    found_at timestamptz,
    changed_at timestamptz,
    -- Viewed by its owner or a reader of a share until then.
    viewed_until timestamptz,
    -- In a row: failed refreshes, refreshes without a pull request, and refreshes since the last
    -- report that found the same settled one.
    failures integer NOT NULL DEFAULT 0,
    misses integer NOT NULL DEFAULT 0,
    settled_count integer NOT NULL DEFAULT 0,

    -- What a refresh that finds nothing new changes stands together: the log holds only what lies
    -- between the first and the last byte of a row that differ.
    --
    -- Outcomes applied so far: a lease's outcome repeats the number, so each counts once.
    looks bigint NOT NULL DEFAULT 0,
    -- Answers to RefreshChat so far, which waits for the next one.
    outcome_seq bigint NOT NULL DEFAULT 0,
    -- When to look again, NULL: not until something happens; and from when on a lease takes it
    -- along.
    due_at timestamptz,
    early_at timestamptz,
    -- When it was last looked up.
    refreshed_at timestamptz,
    -- What the interval would be if the budget were ample.
    base_interval_seconds real,
    -- In a row: refreshes that only confirmed what was known.
    unchanged_count integer NOT NULL DEFAULT 0,
    -- 1 interactive, 2 viewed, 3 active, 4 idle: chat.v1.Lane.
    lane smallint NOT NULL DEFAULT 3,

    -- Opaque, from the worker: whether the pull request changed.
    fingerprint text,
    -- The trace of the person who waits for the next outcome, as the W3C header of this name has
    -- it; NULL where none waits whose trace is recorded.
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

-- What is due of an account, lane by lane.
CREATE INDEX git_ref_polls_due_idx ON git_ref_polls (account_id, lane, due_at)
    WHERE due_at IS NOT NULL;

-- What was raised of a ref last, by what its pull request needed attention for: so it is raised
-- once for a commit, whatever ceases and comes back, and once for a review, whatever is pushed.
-- Written when something is raised, by a writer of the ref.
CREATE TABLE git_ref_attentions (
    ref_id uuid NOT NULL
        CONSTRAINT git_ref_attentions_ref_id_fkey REFERENCES git_refs (id) ON DELETE CASCADE,
    -- A part of the sum that is git_refs.attention.
    kind smallint NOT NULL,
    -- For which head, because of which reviews (the host's ids), and when.
    head_sha text NOT NULL,
    review_ids jsonb NOT NULL DEFAULT '[]',
    raised_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT git_ref_attentions_pkey PRIMARY KEY (ref_id, kind),
    CONSTRAINT git_ref_attentions_kind_check CHECK (kind > 0),
    CONSTRAINT git_ref_attentions_review_ids_check CHECK (jsonb_typeof(review_ids) = 'array')
);
