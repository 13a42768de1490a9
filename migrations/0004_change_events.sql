-- What changed, for watchers. Written by chat-service only, in the transaction of the change.

-- Identity values are not commit-ordered, so a watcher cannot read by them: one that commits late
-- would be skipped. The relay gives each committed event its position; positions are.
CREATE TABLE change_events (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT change_events_pkey PRIMARY KEY,
    position bigint CONSTRAINT change_events_position_key UNIQUE,
    chat_id uuid NOT NULL,
    kind text NOT NULL,
    -- The policy facts of the chat before the change, if the change may have revoked access: each
    -- caller who lost it is notified.
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

-- The relay: the process that gives events their positions. One row for all replicas, whose lock
-- puts placements and takeovers in one order: a relay that was replaced can place nothing.
CREATE TABLE change_relay (
    -- There is one row: true.
    id boolean NOT NULL DEFAULT true CONSTRAINT change_relay_pkey PRIMARY KEY,
    -- Which process, until when by the clock of this database, and which takeover that was.
    holder uuid,
    epoch bigint NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT '-infinity',
    -- The last position that was given. There may be gaps.
    position bigint NOT NULL DEFAULT 0,
    -- Events up to this position may have been forgotten.
    forgotten_position bigint NOT NULL DEFAULT 0,
    -- Another one where positions may have gone back. Random: a counter would go back with them.
    generation uuid NOT NULL DEFAULT gen_random_uuid(),
    -- The server that gave the last position, and its timeline; NULL where that cannot be read.
    server text,
    CONSTRAINT change_relay_id_check CHECK (id)
);

INSERT INTO change_relay DEFAULT VALUES;

-- Lease and report calls that took effect, so that a repeated one returns the first answer.
CREATE TABLE sync_requests (
    request_id uuid NOT NULL CONSTRAINT sync_requests_pkey PRIMARY KEY,
    -- Of a lease: what it leased. Those budgets need no index by their request then.
    budget_ids uuid[],
    -- Of a report: the result of each outcome, by the first letter of its name.
    answer text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sync_requests_kind_check CHECK ((budget_ids IS NULL) <> (answer IS NULL))
);

CREATE INDEX sync_requests_created_at_idx ON sync_requests (created_at);
