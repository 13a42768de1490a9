-- name: hold_budgets
-- Lets no budget be leased until it is made due. A lease that is held now may end with another time, so
-- that this has an effect only where nothing is leased afterwards.
UPDATE git_budgets b
SET next_due_at = now() + interval '1 day',
    lane = 4,
    -- What was sent before is long ago, and so is what was learned of the limit.
    burst_level = 0,
    graphql_remaining = NULL,
    rest_remaining = NULL
WHERE b.next_due_at IS NOT NULL
