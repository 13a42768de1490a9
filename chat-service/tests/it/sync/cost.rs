//! What a claim, a report and a settlement cost does not grow with what waits.

use serde_json::{Value, json};
use testkit::postgres::Client;
use tokio_postgres::Row;
use uuid::Uuid;

use super::fairness::{tenant, tenant_with};
use crate::{sql::statement, stack::Stack};

/// Pages that running the statement with these arguments touches. It takes effect.
pub(super) async fn pages(client: &Client, name: &str, arguments: &str) -> f64 {
    let plan = explained(client, name, arguments).await;
    let number = |name: &str| plan[name].as_f64().unwrap();
    number("Shared Hit Blocks") + number("Shared Read Blocks")
}

/// How the statement ran with these arguments, planned as the service does.
async fn explained(client: &Client, name: &str, arguments: &str) -> Value {
    let text = statement(name);
    client
        .batch_execute(&format!(
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off;
             PREPARE {name} AS {text}"
        ))
        .await
        .unwrap();
    let explain =
        format!("EXPLAIN (ANALYZE, BUFFERS, WAL, FORMAT JSON) EXECUTE {name}({arguments})");
    let row = client.query_one(&explain, &[]).await.unwrap();
    let plan: Value = row.try_get(0).unwrap();
    client
        .batch_execute(&format!("DEALLOCATE {name}"))
        .await
        .unwrap();
    plan[0]["Plan"].clone()
}

/// Bytes of write-ahead log of the part of a plan that updates `table`.
fn logged(plan: &Value, table: &str) -> Option<f64> {
    if plan["Operation"] == "Update" && plan["Relation Name"] == table {
        return plan["WAL Bytes"].as_f64();
    }
    let parts = plan["Plans"].as_array();
    parts?.iter().find_map(|part| logged(part, table))
}

/// An array of values, as an argument.
fn array<T: ToString>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    format!("'{{{}}}'", values.join(","))
}

fn column<'a, T: tokio_postgres::types::FromSql<'a>>(rows: &'a [Row], name: &str) -> Vec<T> {
    rows.iter().map(|row| row.try_get(name).unwrap()).collect()
}

/// Lets plans know what there is.
async fn vacuum(client: &Client) {
    client
        .batch_execute("VACUUM (ANALYZE) chats, git_refs, git_ref_polls, git_budgets, git_accounts")
        .await
        .unwrap();
}

/// Claims what is ready, at most a hundred refs. Pages of that, and the refs with their budgets.
async fn claim(client: &Client) -> (f64, Vec<(Uuid, Uuid)>) {
    let ready = client
        .query(
            &statement("lock_ready_budgets"),
            &[&20_i64, &100_i64, &Uuid::now_v7()],
        )
        .await
        .unwrap();
    let budgets: Vec<Uuid> = column(&ready, "id");
    let quanta: Vec<i64> = column(&ready, "quantum");
    let withheld: Vec<i16> = column(&ready, "withheld_from");
    let due = client
        .query(
            &statement("list_due_refs"),
            &[&budgets, &quanta, &withheld, &100_i64],
        )
        .await
        .unwrap();
    let of: Vec<Uuid> = column(&due, "budget_id");
    let refs: Vec<Uuid> = column(&due, "ref_id");
    let mut claimed = of.clone();
    claimed.sort_unstable();
    claimed.dedup();
    let counts: Vec<usize> = claimed
        .iter()
        .map(|budget| of.iter().filter(|of| *of == budget).count())
        .collect();
    let due = format!(
        "{}, {}, {}, 100",
        array(&budgets),
        array(&quanta),
        array(&withheld)
    );
    let claim = format!(
        "{}, {}, '{}', 'worker', 60",
        array(&claimed),
        array(&counts),
        Uuid::now_v7()
    );
    let pages = pages(client, "lock_ready_budgets", "20, 100, NULL").await
        + pages(client, "list_due_refs", &due).await
        + pages(client, "claim_budgets", &claim).await;
    (pages, of.into_iter().zip(refs).collect())
}

/// Pages of a claim, a report and a settlement, with that many refs of one budget due beside
/// others.
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
        let (claim, leased) = claim(&client).await;
        let budget: Uuid = leased
            .iter()
            .map(|(budget, _)| *budget)
            .max_by_key(|budget| leased.iter().filter(|(of, _)| of == budget).count())
            .unwrap();
        let outcomes: Vec<Value> = leased
            .iter()
            .filter(|(of, _)| *of == budget)
            .map(|(_, id)| {
                json!({
                    "id": id, "report_seq": 1, "looks": 0, "generation": 0,
                    "kind": "unchanged", "next_seconds": 60, "next_lane": 3,
                })
            })
            .collect();
        assert_eq!(outcomes.len(), 100);
        let of_budget = |column: &str, table: &str, key: &str| {
            format!("SELECT {column} FROM {table} WHERE {key} = '{budget}'")
        };
        let token: Uuid =
            crate::worker::value(stack, &of_budget("lease_token", "git_budgets", "id")).await;
        let account: Uuid =
            crate::worker::value(stack, &of_budget("id", "git_accounts", "budget_id")).await;
        let rows = Value::from(outcomes);
        let report = pages(&client, "lock_outcome_chats", &format!("'{rows}'")).await
            + pages(&client, "apply_outcomes", &format!("'{token}', '{rows}'")).await;
        let settle = pages(&client, "settle_accounts", &format!("'{{{account}}}'")).await
            + pages(
                &client,
                "settle_budgets",
                &format!("'{{{budget}}}', TRUE, '{{}}'"),
            )
            .await;
        [claim, report, settle]
    })
    .await
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

/// Long opaque columns come after those that change, so that an update does not log them again.
#[tokio::test]
async fn a_refresh_that_finds_nothing_new_logs_what_changed_and_not_the_whole_row() {
    Stack::run(async |stack| {
        tenant(stack, 50, 4, 60).await;
        let client = stack.database.client().await;
        client
            .batch_execute(
                "UPDATE git_ref_polls SET fingerprint = repeat('f', 200), found_at = now(),
                    changed_at = now(), viewed_until = now(), base_interval_seconds = 60;
                 UPDATE git_budgets SET lease_token = gen_random_uuid(), lease_worker = 'worker',
                    lease_request_id = gen_random_uuid(), lease_expires_at = now() + interval '1 h'",
            )
            .await
            .unwrap();
        client
            .batch_execute("VACUUM (FULL, ANALYZE) git_ref_polls")
            .await
            .unwrap();
        let arguments: String = crate::worker::value(
            stack,
            "SELECT quote_literal(lease_token) || ', ' || quote_literal(o.outcomes)
             FROM git_budgets CROSS JOIN (
                SELECT jsonb_agg(jsonb_build_object('id', ref_id, 'report_seq', 1, 'looks', 0,
                    'generation', 1, 'kind', 'unchanged', 'next_seconds', 60, 'next_lane', 4,
                    'base_seconds', 60, 'fingerprint', fingerprint)) AS outcomes
                FROM (SELECT *, row_number() OVER (ORDER BY ctid) FROM git_ref_polls) AS p
                -- Few of a page: the next version finds room beside the former.
                WHERE row_number % 5 = 0
             ) AS o",
        )
        .await;
        let plan = explained(&client, "apply_outcomes", &arguments).await;
        let applied: i64 =
            crate::worker::value(stack, "SELECT sum(looks)::bigint FROM git_ref_polls").await;
        assert_eq!(applied, 10);
        let each = logged(&plan, "git_ref_polls").unwrap() / 10.0;
        assert!(each < 330.0, "{each} bytes");
    })
    .await;
}

#[tokio::test]
async fn what_operators_ask_costs_what_it_counts_and_not_what_there_is() {
    Stack::run(async |stack| {
        let client = stack.database.client().await;
        tenant_with(stack, [1_500, 20], 3, 3600).await;
        client
            .batch_execute("ANALYZE git_refs, git_ref_polls, git_accounts, git_budgets")
            .await
            .unwrap();
        // All at once: the statistics still say that none has a problem.
        client
            .batch_execute(
                "UPDATE git_refs SET problem_class = 'access_denied', problem_since = now()",
            )
            .await
            .unwrap();
        let unforeseen = pages(&client, "count_problems", "100").await;
        assert!(unforeseen < 1_000.0, "{unforeseen} pages");
        client
            .batch_execute(
                "INSERT INTO git_budgets (id, budget_key, provider_id, queue_at)
                 SELECT gen_random_uuid(), 'idle|' || n, 'github', now() + n * interval '1 s'
                 FROM generate_series(1, 20000) AS n",
            )
            .await
            .unwrap();
        vacuum(&client).await;
        for (name, arguments) in [
            ("count_due_refs", "100, 100"),
            ("count_problems", "100"),
            ("count_sync_states", "100, 100"),
            ("list_live_leases", "100"),
            ("list_planned_budgets", "100"),
        ] {
            let pages = pages(&client, name, arguments).await;
            assert!(pages < 600.0, "{name}: {pages} pages");
        }
    })
    .await;
}

/// Pages that are read to find the other refs of a pull request, and of a branch, where `followers`
/// refs have the pull request, a twentieth of them on that branch, and know as much.
async fn hint_costs(followers: i32) -> [f64; 2] {
    Stack::run(async |stack| {
        tenant_with(stack, [followers / 20, 20], 3, -3600).await;
        let seen = tenant(stack, 1, 3, -3600).await;
        let client = stack.database.client().await;
        client
            .batch_execute("UPDATE git_refs SET pr_host_id = 'PR_7'")
            .await
            .unwrap();
        client
            // Without what the update left.
            .batch_execute(
                "VACUUM (FULL, ANALYZE) chats, git_refs, git_ref_polls, git_budgets, git_accounts",
            )
            .await
            .unwrap();
        let row = client
            .query_one(
                "SELECT r.id FROM git_refs r JOIN git_accounts a ON a.id = r.account_id
                 WHERE a.user_id = $1",
                &[&seen],
            )
            .await
            .unwrap();
        let seen: Uuid = row.try_get(0).unwrap();
        let arguments = format!("'{{{seen}}}', 200, 1000");
        let followers = pages(&client, "list_hinted_refs", &arguments).await;
        let arguments = format!("'{{{seen}}}', 50, 50");
        [
            followers,
            pages(&client, "list_branch_refs", &arguments).await,
        ]
    })
    .await
}

#[tokio::test]
async fn what_a_hint_costs_does_not_grow_with_how_many_follow_a_pull_request_or_have_a_branch() {
    let small = hint_costs(2_000).await;
    let large = hint_costs(20_000).await;
    for (small, large) in small.into_iter().zip(large) {
        assert!(
            large <= small * 2.0 + 100.0,
            "{small} pages at two thousand, {large} at twenty thousand"
        );
    }
}
