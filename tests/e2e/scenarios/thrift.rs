//! How little is asked of the host, over the whole path.

use std::slice::from_ref;

use e2e::{
    stack::{REPOSITORY, Stack},
    warnings,
};
use testkit::{github::RunState, postgres::Client, wait};

use crate::killed::until_open;

#[tokio::test]
async fn from_a_report_to_its_status_are_at_most_two_host_round_trips() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        // The first also finds out whose the token is.
        for branch in ["first", "second"] {
            stack.github.pull_request(REPOSITORY).head(branch).open();
            let chat = stack.chat(&owner).await;
            stack.github.clear_requests();
            stack.report(&owner, &chat, REPOSITORY, branch).await;
            until_open(stack, &owner, from_ref(&chat)).await;
            let requests = stack.github.requests();
            assert!(requests.len() <= 2, "{requests:#?}");
        }
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn from_a_report_to_its_status_are_three_round_trips_to_a_host_without_graphql() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::WITHOUT_GRAPHQL);
        stack.github.set_graphql(false);
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        // That there is no GraphQL is found out once, and so is whose the token is.
        stack.github.pull_request(REPOSITORY).head("first").open();
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, REPOSITORY, "first").await;
        until_open(stack, &owner, from_ref(&chat)).await;
        stack.github.clear_requests();
        let number = stack.github.pull_request(REPOSITORY).head("second").open();
        let hold = stack.github.hold(format!("/pulls/{number}").as_str());
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, REPOSITORY, "second").await;
        // The pull request and its reviews, at once.
        hold.waiting(2).await;
        assert_eq!(stack.github.requests().len(), 3);
        hold.release();
        until_open(stack, &owner, from_ref(&chat)).await;
        // And then the checks and statuses of its head, at once.
        assert_eq!(stack.github.requests().len(), 5);
        vec![worker]
    })
    .await;
}

/// Sets everything's time so much earlier, as if that had passed.
pub(crate) async fn pass(client: &Client, seconds: f64) {
    let shift = [
        "UPDATE git_ref_polls SET due_at = due_at - make_interval(secs => $1),
            early_at = early_at - make_interval(secs => $1)",
        "UPDATE git_accounts SET next_due_at = next_due_at - make_interval(secs => $1)",
        "UPDATE git_budgets SET queue_at = queue_at - make_interval(secs => $1)",
    ];
    for statement in shift {
        client.execute(statement, &[&seconds]).await.unwrap();
    }
}

/// Waits until nothing is due and nothing leased; returns how many refs were looked up since they
/// were set apart.
async fn until_idle(client: &Client) -> i64 {
    wait::until("nothing is due", || async {
        let row = client
            .query_one(
                "SELECT count(*) FILTER (WHERE due_at <= now()) AS busy,
                    count(*) FILTER (WHERE misses = 0) AS seen
                 FROM git_ref_polls",
                &[],
            )
            .await
            .unwrap();
        let leases: i64 = client
            .query_one(
                "SELECT count(*) FROM git_budgets WHERE lease_token IS NOT NULL",
                &[],
            )
            .await
            .unwrap()
            .try_get(0)
            .unwrap();
        let busy: i64 = row.try_get("busy").unwrap();
        match busy + leases {
            0 => Ok(row.try_get("seen").unwrap()),
            busy => Err(busy),
        }
    })
    .await
}

/// Waits until that many refs were looked up since they were set apart, and nothing is due.
async fn until_seen(client: &Client, count: u64) {
    wait::until("all are looked up", || async {
        let seen = until_idle(client).await;
        if u64::try_from(seen) == Ok(count) {
            Ok(())
        } else {
            Err(seen)
        }
    })
    .await;
}

/// Each was reported at its own time, as people's agents push, and has its interval of two minutes.
#[tokio::test]
async fn fifty_refs_that_became_due_apart_from_one_another_travel_in_few_requests() {
    Stack::run(async |stack| {
        let owner = stack.linked_user("ann").await;
        for number in 0..50 {
            let branch = format!("branch-{number}");
            stack.github.pull_request(REPOSITORY).head(&branch).open();
            let chat = stack.chat(&owner).await;
            stack.report(&owner, &chat, REPOSITORY, &branch).await;
        }
        let worker = stack.worker_with(&[("GITSYNC_INTERVAL", "200ms")]).await;
        let client = stack.database.client().await;
        assert_eq!(until_idle(&client).await, 50);
        // `misses` tells which were not looked up again since.
        client
            .batch_execute(
                "UPDATE git_ref_polls p
                 SET due_at = now() + t.number * interval '2.4 seconds',
                    early_at = now() + t.number * interval '2.4 seconds' - interval '30 seconds',
                    misses = 1,
                    changed_at = now() - interval '1 day'
                 FROM (
                    SELECT ref_id, row_number() OVER (ORDER BY ref_id) AS number
                    FROM git_ref_polls
                 ) AS t
                 WHERE t.ref_id = p.ref_id;
                 UPDATE git_accounts a SET next_due_at = (
                    SELECT min(p.due_at) FROM git_ref_polls p WHERE p.account_id = a.id
                 );
                 UPDATE git_budgets b SET queue_at = (
                    SELECT min(a.next_due_at) FROM git_accounts a WHERE a.budget_id = b.id
                 )",
            )
            .await
            .unwrap();
        stack.github.clear_requests();
        let mut seen = 0;
        for _ in 0..30 {
            pass(&client, 5.0).await;
            seen = until_idle(&client).await;
            if seen == 50 {
                break;
            }
        }
        assert_eq!(seen, 50);
        let requests = stack.github.requests();
        assert!(requests.len() <= 6, "{} requests", requests.len());
        vec![worker]
    })
    .await;
}

/// At the interval of active ones, by 20 of which the sum of the checks moved since the last look.
#[tokio::test]
async fn two_hundred_running_pull_requests_are_one_turn_of_three_points() {
    const PULLS: u64 = 200;
    Stack::run(async |stack| {
        let owner = stack.linked_user("ann").await;
        let mut chat = stack.chat(&owner).await;
        for number in 1..=PULLS {
            let branch = format!("branch-{number}");
            stack.github.pull_request(REPOSITORY).head(&branch).open();
            let check = (Some("CI"), "build");
            let queued = RunState::Queued;
            stack.github.check_run(REPOSITORY, number, check, queued);
            stack.report(&owner, &chat, REPOSITORY, &branch).await;
            if number % 20 == 0 {
                chat = stack.chat(&owner).await;
            }
        }
        let worker = stack.worker().await;
        let client = stack.database.client().await;
        until_seen(&client, PULLS).await;
        for number in 1..=20 {
            let check = (Some("CI"), "test");
            let queued = RunState::Queued;
            stack
                .github
                .check_run(REPOSITORY, number * 10, check, queued);
        }
        // `misses` tells which were not looked up again since.
        let apart = "UPDATE git_ref_polls SET misses = 1";
        client.batch_execute(apart).await.unwrap();
        stack.github.clear_requests();
        pass(&client, 60.0).await;
        until_seen(&client, PULLS).await;
        let requests = stack.github.requests();
        let points = requests
            .iter()
            .map(|request| request.graphql.as_ref().map_or(1, |query| query.cost));
        assert_eq!(points.sum::<u64>(), 3, "{requests:#?}");
        vec![worker]
    })
    .await;
}
