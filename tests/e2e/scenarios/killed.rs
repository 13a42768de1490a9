//! A process that is killed in mid-lease loses nothing, and no watcher gets anything twice.

use std::collections::BTreeMap;

use e2e::{
    lease::no_pull_request,
    stack::{REPOSITORY, Stack},
    warnings,
};
use proto::chat::v1::{Chat, LeaseDiffStatusesRequest, PullRequestState};
use testkit::{clients::Caller, github::Matching, process::Signal, wait};
use uuid::Uuid;

/// Events of each chat's branch: its report, and its status.
const TWICE: i64 = 2;

/// A chat for each branch, with a pull request, reported.
async fn reported(stack: &Stack, owner: &Caller, branches: &[&str]) -> Vec<Chat> {
    let mut chats = Vec::new();
    for branch in branches {
        stack.github.pull_request(REPOSITORY).head(branch).open();
        let chat = stack.chat(owner).await;
        stack.report(owner, &chat, REPOSITORY, branch).await;
        chats.push(chat);
    }
    chats
}

/// Waits until each chat's pull request is shown as open.
pub(crate) async fn until_open(stack: &Stack, owner: &Caller, chats: &[Chat]) {
    for chat in chats {
        stack
            .status_when(owner, chat, "its status is written", |status| {
                status.pull_request_state() == PullRequestState::Open
            })
            .await;
    }
}

/// How many events each chat's statuses had.
async fn events(stack: &Stack) -> BTreeMap<Uuid, i64> {
    let rows = stack
        .database
        .client()
        .await
        .query(
            "SELECT chat_id, count(*) AS events FROM change_events
             WHERE kind = 'diff_status_changed' GROUP BY chat_id",
            &[],
        )
        .await
        .unwrap();
    rows.iter()
        .map(|row| {
            (
                row.try_get("chat_id").unwrap(),
                row.try_get("events").unwrap(),
            )
        })
        .collect()
}

fn each(chats: &[Chat], events: i64) -> BTreeMap<Uuid, i64> {
    chats
        .iter()
        .map(|chat| (chat.id.parse().unwrap(), events))
        .collect()
}

/// Promise 4, for a worker that had reported a part: the part stays, is not looked up again early
/// and not announced again.
#[tokio::test]
async fn what_a_killed_worker_had_reported_is_kept_and_announced_once() {
    Stack::run_with(&[("CHAT_LEASE_DURATION", "2s")], async |stack| {
        stack.expect_warnings(warnings::WITHOUT_GRAPHQL);
        stack.expect_warnings(warnings::LEASE_LOST);
        // Each ref has requests of its own.
        stack.github.set_graphql(false);
        let owner = stack.linked_user("ann").await;
        let chats = reported(stack, &owner, &["one", "two", "three"]).await;
        let hold = stack
            .github
            .hold(Matching::path("/pulls$").query("head", "acme:three"));
        let killed = stack.worker().await;
        hold.waiting(1).await;
        until_open(stack, &owner, &chats[..2]).await;
        killed.process.kill();
        stack.github.clear_requests();
        hold.release();
        let worker = stack.worker().await;
        until_open(stack, &owner, &chats).await;
        assert_eq!(events(stack).await, each(&chats, TWICE));
        vec![worker]
    })
    .await;
}

/// Promise 5, for what a worker has in hand: it reports to the next chat-service.
#[tokio::test]
async fn what_was_leased_when_chat_service_was_killed_is_written_and_announced_once() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::CHAT_SERVICE_AWAY);
        let owner = stack.linked_user("ann").await;
        let chats = reported(stack, &owner, &["one", "two", "three"]).await;
        let hold = stack.github.hold(Matching::graphql());
        let worker = stack.worker().await;
        hold.waiting(1).await;
        stack.chat_service.signal(Signal::Kill).unwrap();
        stack.chat_service.wait().await;
        stack.restart_chat_service().await;
        hold.release();
        until_open(stack, &owner, &chats).await;
        assert_eq!(events(stack).await, each(&chats, TWICE));
        assert_eq!(
            stack.github.requests().len(),
            1,
            "it was leased and asked again"
        );
        vec![worker]
    })
    .await;
}

/// Promise 5, for outcomes: chat-service is killed between the commit and the answer. At the wire,
/// where the answer is lost for certain.
#[tokio::test]
async fn a_report_that_was_applied_when_chat_service_was_killed_is_not_applied_again() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::CHAT_SERVICE_AWAY);
        let owner = stack.linked_user("ann").await;
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        let gitsync = Caller::service("gitsync");
        let lease = wait::until("the ref is leased", || async {
            let request = LeaseDiffStatusesRequest {
                request_id: Uuid::now_v7().to_string(),
                worker_id: "by hand".to_owned(),
                ..LeaseDiffStatusesRequest::default()
            };
            let mut sync = stack.sync(&gitsync);
            let leases = sync.lease_diff_statuses(request).await.unwrap();
            leases.into_inner().leases.pop().ok_or("nothing")
        })
        .await;
        let report = no_pull_request(&lease);
        let answer = stack
            .sync(&gitsync)
            .report_outcomes(report.clone())
            .await
            .unwrap()
            .into_inner();
        let status = stack.status(&owner, &chat).await;
        stack.chat_service.signal(Signal::Kill).unwrap();
        stack.chat_service.wait().await;
        stack.restart_chat_service().await;
        let again = stack
            .sync(&gitsync)
            .report_outcomes(report)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(again, answer);
        assert_eq!(
            stack.status(&owner, &chat).await.refreshed_at,
            status.refreshed_at
        );
        // "No pull request" is no change: only the report has an event.
        assert_eq!(events(stack).await, each(std::slice::from_ref(&chat), 1));
        Vec::new()
    })
    .await;
}
