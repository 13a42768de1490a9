-- When a budget's last lease began: what was reported since is not put off by what that lease found.
-- NULL: it was never leased, or by a pod that does not note it yet. Written by chat-service only.

ALTER TABLE git_budgets
    ADD COLUMN leased_at timestamptz;
