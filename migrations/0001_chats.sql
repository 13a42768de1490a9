-- Chats, and whom they are shared with. Written by chat-service only.
--
-- Every index of a list ends in the sort key (updated_at DESC, id DESC), so that a page is one
-- ordered range scan per way of being allowed to read.

CREATE TABLE chats (
    id uuid NOT NULL CONSTRAINT chats_pkey PRIMARY KEY,
    owner_id uuid NOT NULL,
    organization_id uuid,
    workspace_id uuid,
    title text NOT NULL,
    status text NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}',
    archived boolean NOT NULL DEFAULT false,
    -- Makes a repeated CreateChat return the first one's chat.
    create_request_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Moves with title, status, labels and archived, and with nothing else.
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT chats_title_check CHECK (char_length(title) BETWEEN 1 AND 200),
    CONSTRAINT chats_status_check CHECK (
        status IN ('waiting', 'pending', 'running', 'paused', 'completed', 'error')
    ),
    CONSTRAINT chats_labels_check CHECK (jsonb_typeof(labels) = 'object'),
    CONSTRAINT chats_owner_id_create_request_id_key UNIQUE (owner_id, create_request_id)
);

CREATE INDEX chats_updated_at_idx ON chats (updated_at DESC, id DESC);
CREATE INDEX chats_owner_id_idx ON chats (owner_id, updated_at DESC, id DESC);
CREATE INDEX chats_organization_id_idx ON chats (organization_id, updated_at DESC, id DESC)
    WHERE organization_id IS NOT NULL;
CREATE INDEX chats_workspace_id_idx ON chats (workspace_id, updated_at DESC, id DESC)
    WHERE workspace_id IS NOT NULL;

-- One row per subject a chat is shared with. Each row carries the chat's sort key: a list of what
-- is shared with somebody is then one ordered scan of this table. Whoever writes a row locks the
-- chat's row first, so the key cannot be missed.
CREATE TABLE chat_acl (
    chat_id uuid NOT NULL CONSTRAINT chat_acl_chat_id_fkey REFERENCES chats (id) ON DELETE CASCADE,
    subject_kind text NOT NULL,
    subject_id uuid NOT NULL,
    level text NOT NULL,
    chat_updated_at timestamptz NOT NULL,
    CONSTRAINT chat_acl_pkey PRIMARY KEY (chat_id, subject_kind, subject_id),
    CONSTRAINT chat_acl_subject_kind_check CHECK (subject_kind IN ('user', 'group')),
    CONSTRAINT chat_acl_level_check CHECK (level IN ('reader', 'writer'))
);

CREATE INDEX chat_acl_subject_idx
    ON chat_acl (subject_kind, subject_id, chat_updated_at DESC, chat_id DESC);
