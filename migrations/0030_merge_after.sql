-- When to look again whether a token's key can be merged with its account's: both had too many refs. NULL:
-- at once. Written by chat-service only.

ALTER TABLE git_budgets
    ADD COLUMN merge_after timestamptz;
