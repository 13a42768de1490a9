//! What backlogs of many accounts cost: each statement looks at a bounded part of them, by index.

use testkit::postgres::Client;
use uuid::Uuid;

use super::{cost::pages, fairness::tenant};
use crate::stack::Stack;

async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.unwrap();
}

/// How many pages are read to put siblings off, where `others` of the repository are put off
/// already.
async fn sibling_cost(others: i32) -> f64 {
    Stack::run(async |stack| {
        tenant(stack, others, 3, -3600).await;
        let client = stack.database.client().await;
        run(
            &client,
            "UPDATE git_refs SET problem_class = 'access_denied', problem_since = now()
             WHERE id IN (SELECT id FROM git_refs LIMIT 20)",
        )
        .await;
        run(&client, "VACUUM (FULL, ANALYZE) git_refs, git_ref_polls").await;
        let row = client
            .query_one(
                "SELECT array_agg(id) FROM git_refs WHERE problem_class IS NOT NULL",
                &[],
            )
            .await
            .unwrap();
        let failed: Vec<Uuid> = row.try_get(0).unwrap();
        let failed: Vec<String> = failed.iter().map(Uuid::to_string).collect();
        let arguments = format!("'{{{}}}', now(), 500", failed.join(","));
        pages(&client, "list_siblings", &arguments).await
    })
    .await
}

#[tokio::test]
async fn what_a_repositorys_problem_costs_does_not_grow_with_what_was_put_off_before() {
    let small = sibling_cost(1_000).await;
    let large = sibling_cost(10_000).await;
    assert!(
        large <= small * 2.0 + 100.0,
        "{small} pages with a thousand others, {large} with ten thousand"
    );
}

/// How many rows of polls one lease of a budget reads whose accounts have `refs` due refs each.
async fn backlog_cost(refs: i32) -> f64 {
    Stack::run(async |stack| {
        let client = stack.database.client().await;
        let budget = Uuid::now_v7();
        run(
            &client,
            &format!(
                "INSERT INTO git_budgets (id, provider_id, budget_key, lane, queue_at)
                 VALUES ('{budget}', 'github', 'many', 3, now());
                 INSERT INTO git_accounts (
                     id, user_id, provider_id, budget_id, credential_state, lane, next_due_at
                 )
                 SELECT gen_random_uuid(), gen_random_uuid(), 'github', '{budget}', 'accepted', 3,
                     now() - interval '1 h'
                 FROM generate_series(1, 50);
                 INSERT INTO chats (id, owner_id, title, status)
                 SELECT a.id, a.user_id, 'chat', 'waiting' FROM git_accounts a;
                 INSERT INTO git_refs (
                     id, chat_id, account_id, provider_id, git_remote_origin, repository, git_branch
                 )
                 SELECT gen_random_uuid(), a.id, a.id, 'github', 'https://github.com/acme/web',
                     'acme/web', 'branch/' || n
                 FROM git_accounts a CROSS JOIN generate_series(1, {refs}) AS n;
                 INSERT INTO git_ref_polls (ref_id, account_id, lane, due_at, early_at)
                 SELECT r.id, r.account_id, 3, now() - interval '1 h', now() - interval '1 h'
                 FROM git_refs r"
            ),
        )
        .await;
        let vacuum = "VACUUM (ANALYZE) git_budgets, git_accounts, git_refs, git_ref_polls";
        run(&client, vacuum).await;
        let arguments = format!("'{{{budget}}}', '{{100}}', '{{5}}', 100");
        pages(&client, "list_due_refs", &arguments).await
    })
    .await
}

#[tokio::test]
async fn what_a_turn_costs_does_not_grow_with_the_backlog_of_each_account() {
    let small = backlog_cost(10).await;
    let large = backlog_cost(100).await;
    assert!(
        large <= small * 2.0 + 200.0,
        "{small} pages with ten due refs an account, {large} with a hundred"
    );
}
