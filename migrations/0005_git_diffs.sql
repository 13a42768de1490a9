-- Diffs that are asked for, and the answers until they were read. Written by chat-service only: by
-- those who wait in GetChatDiff, and by the workers' reports.

-- A question of a ref and its answer, which is given for a minute. UNLOGGED: what is lost in a
-- crash or a failover is asked for anew by those who wait, and megabytes that live for a minute
-- belong in no log.
CREATE UNLOGGED TABLE git_diffs (
    ref_id uuid NOT NULL CONSTRAINT git_diffs_pkey PRIMARY KEY
        CONSTRAINT git_diffs_ref_id_fkey REFERENCES git_refs (id) ON DELETE CASCADE,
    -- The ref's, which bounds what is asked and kept.
    account_id uuid NOT NULL,
    -- Questions so far, and the last one that was answered. Lower: an answer is to come.
    asked bigint NOT NULL DEFAULT 1,
    answered bigint NOT NULL DEFAULT 0,
    -- Those who wait move it on: nothing is asked for those who left.
    wanted_until timestamptz NOT NULL,

    -- The last answer; NULL before the first one.
    --
    -- What it is an answer to: the report, the credential, and the head of the pull request.
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
    -- It is given to those who ask until then.
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

-- Read in parts: a part of what is not compressed is read without the rest.
ALTER TABLE git_diffs ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE INDEX git_diffs_account_id_idx ON git_diffs (account_id);
