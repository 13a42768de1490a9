-- What the host calls a ref's repository now, so that a refresh need not follow a redirect. What was
-- reported stays as it is. Written by chat-service only.

ALTER TABLE chat_diff_statuses
    -- `owner/name`; empty or NULL: as it was reported.
    ADD COLUMN canonical_repository text;

ALTER TABLE chat_diff_statuses
    ADD CONSTRAINT chat_diff_statuses_canonical_repository_check CHECK (
        octet_length(canonical_repository) <= 1024
    ) NOT VALID;
