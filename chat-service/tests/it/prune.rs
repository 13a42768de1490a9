//! What is old is forgotten, however much there is, and the relay goes on meanwhile.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{
    lock::{Holder, until_blocked},
    sql::statements,
    stack::{Caller, Stack},
    worker::{Owner, run, value},
};

pub(crate) async fn number(stack: &Stack, sql: &str, params: &[&(dyn ToSql + Sync)]) -> i64 {
    let client = stack.database.client().await;
    let row = client.query_one(sql, params).await.unwrap();
    row.try_get(0).unwrap()
}

/// Has a relay take over, which begins by forgetting what is old.
pub(crate) async fn take_over(stack: &Stack) {
    let client = stack.database.client().await;
    let expired =
        "UPDATE change_relay SET holder = NULL, epoch = epoch + 1, expires_at = '-infinity'";
    client.batch_execute(expired).await.unwrap();
}

pub(crate) async fn until_none(stack: &Stack, sql: &str) {
    testkit::wait::until("nothing is left", || async {
        let left = number(stack, sql, &[]).await;
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
}

/// A service on a database that `sql` has prepared: the relay begins by forgetting what is old.
async fn run_after<T>(sql: &str, body: impl AsyncFnOnce(&Stack) -> T) -> T {
    let database = testkit::postgres::database().await;
    database.client().await.batch_execute(sql).await.unwrap();
    Stack::run_on(database, |_, _| {}, body).await
}

#[tokio::test]
async fn old_events_and_requests_go_however_many_there_are() {
    run_after(
        "INSERT INTO change_events (position, chat_id, kind, recorded_at)
         SELECT n, gen_random_uuid(), 'updated', now() - interval '2 h'
         FROM generate_series(1, 4500) n;
         UPDATE change_relay SET position = 4501;
         INSERT INTO sync_requests (request_id, budget_ids, created_at)
         SELECT gen_random_uuid(), '{}', now() - interval '2 h'
         FROM generate_series(1, 4500);
         INSERT INTO change_events (position, chat_id, kind)
         VALUES (4501, gen_random_uuid(), 'updated');
         INSERT INTO sync_requests (request_id, budget_ids) VALUES (gen_random_uuid(), '{}')",
        async |stack| {
            let old_events =
                "SELECT count(*) FROM change_events WHERE recorded_at < now() - interval '1 h'";
            until_none(stack, old_events).await;
            let old_requests =
                "SELECT count(*) FROM sync_requests WHERE created_at < now() - interval '1 h'";
            until_none(stack, old_requests).await;
            for table in ["change_events", "sync_requests"] {
                let left = number(stack, &format!("SELECT count(*) FROM {table}"), &[]).await;
                assert_eq!(left, 1, "{table}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn the_relay_goes_on_when_forgetting_fails() {
    // A sequence counts what a transaction that is rolled back did, too.
    run_after(
        "CREATE SEQUENCE attempts MINVALUE 0 START 0;
         SELECT nextval('attempts');
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             PERFORM nextval('attempts');
             RAISE EXCEPTION 'no';
         END $$;
         CREATE TRIGGER refuse BEFORE DELETE ON sync_requests
         FOR EACH ROW EXECUTE FUNCTION refuse();
         INSERT INTO sync_requests (request_id, budget_ids, created_at)
         VALUES (gen_random_uuid(), '{}', now() - interval '2 h')",
        async |stack| {
            let attempts = "SELECT last_value FROM attempts";
            testkit::wait::until("forgetting fails", || async {
                let attempts = number(stack, attempts, &[]).await;
                if attempts > 0 { Ok(()) } else { Err(attempts) }
            })
            .await;
            for _ in 0..3 {
                stack.chat(&Caller::user()).await;
                until_none(
                    stack,
                    "SELECT count(*) FROM change_events WHERE position IS NULL",
                )
                .await;
            }
            let attempts = number(stack, attempts, &[]).await;
            assert_eq!(attempts, 1, "the same relay goes on");
        },
    )
    .await;
}

#[tokio::test]
async fn budgets_without_an_account_or_a_token_are_forgotten() {
    Stack::run(async |stack| {
        // One that an account has, and one that an account had until now.
        Owner::linked(stack).await;
        let former = Owner::linked(stack).await;
        former.unlink().await;
        let client = stack.database.client().await;
        client
            .batch_execute(
                "INSERT INTO git_budgets (id, budget_key, provider_id)
                 SELECT gen_random_uuid(), 'unused ' || n, 'github' FROM generate_series(1, 2500) n;
                 INSERT INTO git_tokens (token_key, budget_id, used_at)
                 SELECT 'old token of ' || budget_key, id, now() - interval '25 hours'
                 FROM git_budgets",
            )
            .await
            .unwrap();
        take_over(stack).await;
        until_none(
            stack,
            "SELECT count(*) FROM git_budgets WHERE budget_key LIKE 'unused %'",
        )
        .await;
        assert_eq!(
            number(stack, "SELECT count(*) FROM git_budgets", &[]).await,
            2,
            "of the account, and of the account that may be linked again"
        );
        assert_eq!(
            number(stack, "SELECT count(*) FROM git_tokens", &[]).await,
            2,
            "and the latest token of each"
        );
    })
    .await;
}

#[tokio::test]
async fn an_account_keeps_its_latest_token_however_old() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    client
        .batch_execute(
            "WITH budget AS (
                INSERT INTO git_budgets (id, budget_key, provider_id)
                VALUES (gen_random_uuid(), 'k', 'github') RETURNING id
             ), account AS (
                INSERT INTO git_accounts (id, user_id, provider_id, budget_id, credential_state)
                SELECT gen_random_uuid(), gen_random_uuid(), 'github', b.id, 'accepted' FROM budget b
             )
             INSERT INTO git_tokens (token_key, budget_id, used_at)
             SELECT 'token ' || n, b.id, now() - n * interval '1 month'
             FROM budget b CROSS JOIN generate_series(1, 3) n",
        )
        .await
        .unwrap();
    let forgotten = client
        .execute(&statements()["prune_tokens"], &[&Uuid::nil(), &100_i64])
        .await
        .unwrap();
    assert_eq!(forgotten, 2);
    let left = client
        .query_one("SELECT token_key FROM git_tokens", &[])
        .await
        .unwrap();
    assert_eq!(left.try_get::<_, &str>(0).unwrap(), "token 1");
}

/// A limit is the budget's as a whole, or a window's.
#[tokio::test]
async fn a_pause_of_any_kind_keeps_a_budget_that_is_unused() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    client
        .batch_execute(
            "INSERT INTO git_budgets (
                id, budget_key, provider_id, paused_until, pause_class, pause_lane, windows
             )
             SELECT gen_random_uuid(), concat(a, ' ', b), 'github', now() + a,
                CASE WHEN a IS NOT NULL THEN 'rate_limited' END, CASE WHEN a IS NOT NULL THEN 1 END,
                jsonb_build_array('{\"name\": \"other\"}'::jsonb,
                    jsonb_build_object('name', 'core', 'paused_until', now() + b))
             FROM unnest('{NULL, -1h, 1h}'::interval[]) a
             CROSS JOIN unnest('{NULL, -1h, 1h}'::interval[]) b",
        )
        .await
        .unwrap();
    let statement = &statements()["prune_budgets"];
    for (batch, is_last) in [(9_i64, false), (6, true)] {
        let rows = client.query(statement, &[&Uuid::nil(), &batch]).await;
        assert_eq!(rows.unwrap().is_empty(), is_last);
    }
    let left = client
        .query_one("SELECT count(*) FROM git_budgets", &[])
        .await
        .unwrap();
    assert_eq!(left.try_get::<_, i64>(0).unwrap(), 5);
}

/// Budgets that are unused, and a transaction that `change`s one of them, while they are forgotten.
/// Returns whether that failed.
async fn forget_during(stack: &Stack, change: &str) -> bool {
    testkit::wait::until("the relay's first round is over", || async {
        let rounds = stack.statements("prune_budgets").await;
        if rounds > 0 { Ok(()) } else { Err(rounds) }
    })
    .await;
    run(
        stack,
        "INSERT INTO git_budgets (id, budget_key, provider_id)
         SELECT gen_random_uuid(), 'unused ' || n, 'github' FROM generate_series(1, 3) n",
    )
    .await;
    let holder = Holder::of(stack, change).await;
    let client = stack.database.client().await;
    let forgetting = async {
        let statement = &statements()["prune_budgets"];
        client.execute(statement, &[&Uuid::nil(), &100_i64]).await
    };
    let changing = async {
        until_blocked(stack, 1).await;
        holder.let_go().await;
    };
    let (forgotten, ()) = tokio::join!(forgetting, changing);
    forgotten.is_err()
}

#[tokio::test]
async fn a_budget_that_is_paused_or_leased_while_it_is_to_be_forgotten_is_kept() {
    for change in [
        "UPDATE git_budgets SET paused_until = now() + interval '1 h', pause_lane = 1,
            pause_class = 'rate_limited' WHERE budget_key = 'unused 2'",
        "UPDATE git_budgets SET lease_token = gen_random_uuid(), lease_worker = 'w',
            lease_request_id = gen_random_uuid(), lease_expires_at = now() + interval '1 h'
         WHERE budget_key = 'unused 2'",
    ] {
        Stack::run(async |stack| {
            assert!(!forget_during(stack, change).await);
            let left = "SELECT string_agg(budget_key, ',') FROM git_budgets";
            assert_eq!(value::<String>(stack, left).await, "unused 2");
        })
        .await;
    }
}

#[tokio::test]
async fn a_token_never_loses_the_budget_that_it_spends() {
    Stack::run(async |stack| {
        let change = "INSERT INTO git_tokens (token_key, budget_id)
             SELECT 'token', id FROM git_budgets WHERE budget_key = 'unused 2'";
        assert!(
            forget_during(stack, change).await,
            "the next round tries again"
        );
        let kept = "SELECT count(*) FROM git_tokens t JOIN git_budgets b ON b.id = t.budget_id";
        assert_eq!(value::<i64>(stack, kept).await, 1);
    })
    .await;
}
