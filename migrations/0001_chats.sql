-- Chats and their shares. Written by chat-service only.
--
-- Every index of a list ends in the sort key (updated_at DESC, id DESC), so that a page is one
-- ordered range scan per way of being allowed to read.

-- Finds titles by a part of them. The extension is trusted: the database's owner may create it.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE chats (
    id uuid NOT NULL CONSTRAINT chats_pkey PRIMARY KEY,
    owner_id uuid NOT NULL,
    organization_id uuid,
    workspace_id uuid,
    title text NOT NULL,
    -- The title as it is searched: folded once, and not for each row that a search compares.
    title_key text GENERATED ALWAYS AS (lower(title)) STORED,
    status text NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}',
    archived boolean NOT NULL DEFAULT false,
    -- Makes a repeated CreateChat return the first one's chat.
    create_request_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Moves with title, status, labels and archived, and with nothing else.
    updated_at timestamptz NOT NULL DEFAULT now(),

    -- What lists filter by of the primary git ref, copied whenever that changes. All NULL without
    -- one.
    primary_repository_key text,
    primary_pr_number integer,
    primary_pr_state text,
    primary_pr_draft boolean,
    -- As git_refs.attention has it; 0 without one.
    primary_attention smallint NOT NULL DEFAULT 0,

    -- Status and pull request state as lists filter by them, in numbers that fit an index of a
    -- share: 0 is a name that this schema does not know, and no pull request.
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

-- Whether a search is by index or in list order is decided by how often the words match. With the
-- usual hundred samples, one chat of a hundred looks like one of ten thousand.
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
-- One owner's, one organization's and all chats by what lists are filtered by: a filter is some of
-- the combinations of the three, each in list order.
CREATE INDEX chats_owner_filter_idx
    ON chats (owner_id, archived, list_status, list_pr, updated_at DESC, id DESC);
CREATE INDEX chats_organization_filter_idx
    ON chats (organization_id, archived, list_status, list_pr, updated_at DESC, id DESC)
    WHERE organization_id IS NOT NULL;
CREATE INDEX chats_filter_idx
    ON chats (archived, list_status, list_pr, updated_at DESC, id DESC);
-- The same of those whose pull request needs attention, which are few, and by what for: as
-- combinations of the indexes above, each list would merge three times as many.
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
-- The primary ref's repository and pull request number: their chats in list order.
CREATE INDEX chats_primary_repository_idx
    ON chats (primary_repository_key, updated_at DESC, id DESC)
    WHERE primary_repository_key IS NOT NULL;
CREATE INDEX chats_primary_pr_number_idx ON chats (primary_pr_number, updated_at DESC, id DESC)
    WHERE primary_pr_number IS NOT NULL;
-- Entries of a GIN index wait in a list that each search reads; a short one keeps searches fast
-- where the default of 4 MB would not.
CREATE INDEX chats_title_idx ON chats USING gin (title_key gin_trgm_ops)
    WITH (gin_pending_list_limit = 256);
CREATE INDEX chats_labels_idx ON chats USING gin (labels jsonb_path_ops)
    WITH (gin_pending_list_limit = 256);

-- One row per subject a chat is shared with. Each row carries the chat's sort key, its owner, who
-- never changes, and what lists are filtered by: a list of what is shared is then one ordered scan
-- of this table. A writer of a row locks the chat's row first, so that no change can be missed.
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

-- What follows the sort key is compared within the index, at some 30 ns a share; the kind, which
-- has no fixed length, comes last, since what stands after it takes four times as long. An index in
-- which the filter comes first would have a status change of a chat with a hundred shares write 12
-- KB more.
CREATE INDEX chat_acl_subject_idx
    ON chat_acl (
        subject_id, chat_updated_at DESC, chat_id DESC, chat_archived, chat_status, chat_pr,
        chat_attention, subject_kind
    );
CREATE INDEX chat_acl_owner_id_idx
    ON chat_acl (subject_kind, subject_id, owner_id, chat_updated_at DESC, chat_id DESC);
