-- How a ref's value is judged, and how little it takes to confirm it. Written by chat-service only.

ALTER TABLE chat_diff_statuses
    -- Opaque, from the worker: whether the pull request changed, and what lets the host say so.
    ADD COLUMN fingerprint text,
    ADD COLUMN validator text,
    -- Refreshes in a row that only confirmed what was known.
    ADD COLUMN unchanged_count integer NOT NULL DEFAULT 0,
    -- When the whole status was last told, and when it was last seen to change.
    ADD COLUMN found_at timestamptz,
    ADD COLUMN changed_at timestamptz,
    -- When the pull request last changed by the host's clock: compared with nothing but itself.
    ADD COLUMN pr_updated_at timestamptz,
    -- What the interval would be if the budget were ample.
    ADD COLUMN base_interval_seconds real,
    -- Somebody whose chat it is, or with whom it is shared, looks at it.
    ADD COLUMN viewed_until timestamptz;

ALTER TABLE chat_diff_statuses
    ADD CONSTRAINT chat_diff_statuses_learned_check CHECK (
        octet_length(fingerprint) <= 512 AND octet_length(validator) <= 512
        AND unchanged_count >= 0 AND base_interval_seconds > 0
    ) NOT VALID;
