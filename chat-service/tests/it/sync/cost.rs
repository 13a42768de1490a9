//! What a claim, a report and a settlement cost does not grow with what waits.

use serde_json::{Value, json};
use testkit::postgres::Client;
use uuid::Uuid;

use super::fairness::{tenant, tenant_with};
use crate::{sql::statements, stack::Stack};

/// Pages that running the statement with these arguments touches, planned as the service does. It takes
/// effect.
async fn pages(client: &Client, name: &str, arguments: &str) -> f64 {
    let text = &statements()[name];
    client
        .batch_execute(&format!(
            "SET plan_cache_mode = force_generic_plan; SET jit = off; PREPARE {name} AS {text}"
        ))
        .await
        .unwrap();
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {name}({arguments})");
    let row = client.query_one(&explain, &[]).await.unwrap();
    let plan: Value = row.try_get(0).unwrap();
    client
        .batch_execute(&format!("DEALLOCATE {name}"))
        .await
        .unwrap();
    let plan = &plan[0]["Plan"];
    let number = |name: &str| plan[name].as_f64().unwrap();
    number("Shared Hit Blocks") + number("Shared Read Blocks")
}

/// Lets plans know what there is.
async fn vacuum(client: &Client) {
    client
        .batch_execute("VACUUM (ANALYZE) chats, chat_diff_statuses, git_budgets, git_accounts")
        .await
        .unwrap();
}

/// Pages of a claim, a report and a settlement, with that many refs of one key due beside others.
async fn costs(refs: i32) -> [f64; 3] {
    Stack::run(async |stack| {
        tenant(stack, refs, 3, 3600).await;
        for lane in 2..=4 {
            for _ in 0..3 {
                tenant(stack, 5, lane, 60).await;
            }
        }
        let client = stack.database.client().await;
        vacuum(&client).await;
        let request = Uuid::now_v7();
        let claim = pages(
            &client,
            "claim_budgets",
            &format!("'{request}', 'worker', 100, 60, 100, 20"),
        )
        .await;
        let leased = client
            .query(
                "SELECT s.id, s.report_seq, b.id AS budget, b.lease_token FROM chat_diff_statuses s
                 JOIN git_budgets b ON b.lease_token = s.lease_token
                 WHERE b.id = (
                    SELECT l.budget_id FROM chat_diff_statuses l WHERE l.lease_token IS NOT NULL
                    GROUP BY l.budget_id ORDER BY count(*) DESC LIMIT 1
                 )",
                &[],
            )
            .await
            .unwrap();
        let outcomes: Vec<Value> = leased
            .iter()
            .map(|row| {
                json!({
                    "id": row.try_get::<_, Uuid>("id").unwrap(),
                    "report_seq": row.try_get::<_, i64>("report_seq").unwrap(),
                    "kind": "unchanged",
                    "next_seconds": 60,
                    "next_lane": 3,
                })
            })
            .collect();
        assert!(outcomes.len() >= 50, "{} refs were leased", outcomes.len());
        let token: Uuid = leased[0].try_get("lease_token").unwrap();
        let budget: Uuid = leased[0].try_get("budget").unwrap();
        let report = pages(
            &client,
            "apply_outcomes",
            &format!("'{token}', '{}'", Value::from(outcomes)),
        )
        .await;
        let settle = pages(&client, "settle_budgets", &format!("'{{{budget}}}', TRUE")).await;
        [claim, report, settle]
    })
    .await
}

/// Pages of a claim, and how many refs it leased, where all other keys leave room beside the turn of
/// one that has so many refs due.
async fn cost_of_a_short_turn(refs: i32) -> (f64, i64) {
    Stack::run(async |stack| {
        tenant(stack, refs, 3, 3600).await;
        let client = stack.database.client().await;
        client
            .batch_execute("UPDATE git_budgets SET turn_left = 1")
            .await
            .unwrap();
        vacuum(&client).await;
        let arguments = format!("'{}', 'worker', 100, 60, 100, 20", Uuid::now_v7());
        let pages = pages(&client, "claim_budgets", &arguments).await;
        let leased = client
            .query_one(
                "SELECT count(*) FROM chat_diff_statuses WHERE lease_token IS NOT NULL",
                &[],
            )
            .await
            .unwrap();
        (pages, leased.try_get(0).unwrap())
    })
    .await
}

#[tokio::test]
async fn a_claim_with_room_left_is_filled_from_a_backlog_and_does_not_pass_over_it() {
    let (small, leased) = cost_of_a_short_turn(1_000).await;
    assert_eq!(leased, 100);
    let (large, leased) = cost_of_a_short_turn(30_000).await;
    assert_eq!(leased, 100);
    assert!(
        large <= small * 2.0 + 100.0,
        "{small} pages at a thousand, {large} at thirty thousand"
    );
}

#[tokio::test]
async fn what_a_claim_a_report_and_a_settlement_cost_does_not_grow_with_the_backlog() {
    let small = costs(1_000).await;
    let large = costs(30_000).await;
    for (name, (small, large)) in ["claim", "report", "settle"]
        .iter()
        .zip(small.into_iter().zip(large))
    {
        assert!(
            large <= small * 2.0 + 100.0,
            "{name}: {small} pages at a thousand, {large} at thirty thousand"
        );
    }
}

#[tokio::test]
async fn what_operators_ask_costs_what_it_counts_and_not_what_there_is() {
    Stack::run(async |stack| {
        let client = stack.database.client().await;
        tenant_with(stack, [1_500, 20], 3, 3600).await;
        client
            .batch_execute("ANALYZE chat_diff_statuses, git_budgets")
            .await
            .unwrap();
        // All at once: the statistics still say that none has a problem.
        client
            .batch_execute(
                "UPDATE chat_diff_statuses SET problem_class = 'rate_limited',
                    problem_since = now()",
            )
            .await
            .unwrap();
        let unforeseen = pages(&client, "count_problems", "100").await;
        assert!(unforeseen < 1_000.0, "{unforeseen} pages");
        client
            .batch_execute(
                "INSERT INTO git_budgets (id, budget_key, provider_id, next_due_at)
                 SELECT gen_random_uuid(), 'idle|' || n, 'github', now() + n * interval '1 s'
                 FROM generate_series(1, 20000) AS n",
            )
            .await
            .unwrap();
        client
            .batch_execute("VACUUM (ANALYZE) chat_diff_statuses, git_budgets")
            .await
            .unwrap();
        for name in [
            "count_due_refs",
            "count_problems",
            "list_live_leases",
            "list_planned_budgets",
        ] {
            let pages = pages(&client, name, "100").await;
            assert!(pages < 300.0, "{name}: {pages} pages");
        }
    })
    .await;
}

/// Pages that it takes to find who else follows a pull request, when that many do and know as much.
async fn hint_cost(followers: i32) -> f64 {
    Stack::run(async |stack| {
        tenant_with(stack, [followers / 20, 20], 3, -3600).await;
        let seen = tenant(stack, 1, 3, -3600).await;
        let client = stack.database.client().await;
        client
            .batch_execute(
                "UPDATE chat_diff_statuses SET pr_node_id = 'PR_7';
                 INSERT INTO git_accounts (
                    id, user_id, provider_id, budget_id, key_id, access_token_sealed
                 )
                 SELECT gen_random_uuid(), substr(b.budget_key, 6)::uuid, 'github', b.id, 'key', ''
                 FROM git_budgets b",
            )
            .await
            .unwrap();
        client
            // Without what the update left.
            .batch_execute(
                "VACUUM (FULL, ANALYZE) chats, chat_diff_statuses, git_budgets, git_accounts",
            )
            .await
            .unwrap();
        let row = client
            .query_one(
                "SELECT id FROM chat_diff_statuses WHERE owner_id = $1",
                &[&seen],
            )
            .await
            .unwrap();
        let seen: Uuid = row.try_get(0).unwrap();
        let arguments = format!("'{{{seen}}}', 200, 1000");
        pages(&client, "list_hinted_refs", &arguments).await
    })
    .await
}

#[tokio::test]
async fn what_a_hint_costs_does_not_grow_with_how_many_follow_a_pull_request() {
    let small = hint_cost(2_000).await;
    let large = hint_cost(20_000).await;
    assert!(
        large <= small * 2.0 + 100.0,
        "{small} pages at two thousand, {large} at twenty thousand"
    );
}

#[tokio::test]
async fn what_linking_costs_does_not_grow_with_the_refs_of_others() {
    Stack::run(async |stack| {
        tenant_with(stack, [1_500, 20], 3, 60).await;
        let mut user = Uuid::nil();
        for _ in 0..20 {
            user = tenant_with(stack, [1, 20], 3, 60).await;
        }
        let client = stack.database.client().await;
        vacuum(&client).await;
        let other: Uuid = client
            .query_one(
                "INSERT INTO git_budgets (id, budget_key, provider_id)
                 VALUES (gen_random_uuid(), 'other', 'github') RETURNING id",
                &[],
            )
            .await
            .unwrap()
            .try_get(0)
            .unwrap();
        let none = Uuid::nil();
        let arguments = format!("'{user}', 'github', '{other}', TRUE, '{none}', 20000");
        let moving = pages(&client, "move_refs", &arguments).await;
        let again = pages(&client, "move_refs", &arguments).await;
        assert!(moving < 1_000.0 && again < 100.0, "{moving}, {again}");
    })
    .await;
}

#[tokio::test]
async fn what_a_watcher_of_one_owner_costs_does_not_grow_with_what_others_share() {
    Stack::run(async |stack| {
        let client = stack.database.client().await;
        let [watcher, group, owner, other] = [(); 4].map(|()| Uuid::now_v7());
        client
            .batch_execute(&format!(
                "INSERT INTO chats (id, owner_id, title, status)
             SELECT gen_random_uuid(), CASE WHEN n > 10 THEN '{other}' ELSE '{owner}' END::uuid,
                'chat', 'waiting'
             FROM generate_series(1, 5000) AS n;
             INSERT INTO chat_acl (chat_id, subject_kind, subject_id, level, owner_id, chat_updated_at)
             SELECT c.id, 'user', '{watcher}'::uuid, 'reader', c.owner_id, c.updated_at FROM chats c
             UNION ALL
             SELECT c.id, 'group', '{group}', 'reader', c.owner_id, c.updated_at FROM chats c"
            ))
            .await
            .unwrap();
        client
            .batch_execute("VACUUM (ANALYZE) chats, chat_acl")
            .await
            .unwrap();
        let arguments = format!("'{watcher}', '{{{group}}}', 50, '{owner}'");
        let read = pages(&client, "list_watched_chats_of_owner", &arguments).await;
        assert!(read < 200.0, "{read} pages");
    })
    .await;
}
