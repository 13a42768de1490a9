INSERT INTO git_budgets (
    id, budget_key, provider_id, next_due_at, graphql_limit, graphql_remaining, graphql_reset_at,
    rest_paused_until, graphql_paused_until, secondary_strikes, struck_at, cautious_until,
    burst_level, burst_at, batch_probe, batch_detail, batch_discover, demand, demand_at, lane,
    turn_left, account_id
)
VALUES (
    '01900000-0000-7000-8000-000000000104', 'api.github.com|account:4', 'github', now(), 5000, 12,
    now() + interval '10 min', now(), now() + interval '10 min', 2, now(), now() + interval '20 min',
    3.5, now(), 100, 25, 10, 0.5, now(), 2, 40, '4'
);

INSERT INTO git_accounts (
    id, user_id, provider_id, budget_id, key_id, access_token_sealed, credential_state, confirm_after
)
VALUES (
    '01900000-0000-7000-8000-000000000202', '01900000-0000-7000-8000-0000000000a2', 'github',
    '01900000-0000-7000-8000-000000000104', 'k1', '\x00010203', 'suspect', now() + interval '1 min'
);

DO $$
BEGIN
    ASSERT (SELECT count(*) = 3 FROM git_budgets WHERE lane = 3 AND secondary_strikes = 0),
        'older budgets wait in the active queue, with no strike';
    ASSERT (
        SELECT credential_state FROM git_accounts
        WHERE id = '01900000-0000-7000-8000-000000000201'
    ) = 'accepted', 'an older credential is taken to be good';
END
$$;
