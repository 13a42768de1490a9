//! What is acknowledged survives restarts; what is away is said to be away.

use e2e::{
    stack::{REPOSITORY, Stack},
    warnings,
};
use proto::{
    chat::v1::{GetChatsRequest, PullRequestState},
    gitsync::v1::GetWorkerStateRequest,
};
use testkit::{
    clients::Caller,
    github::Matching,
    postgres::{self, Options, Server},
    process::Signal,
    wait,
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

/// Promise 5, for chat-service.
#[tokio::test]
async fn no_acknowledged_report_is_lost_when_chat_service_restarts() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::CHAT_SERVICE_AWAY);
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        stack.github.pull_request(REPOSITORY).head("feature").open();
        let hold = stack.github.hold(Matching::graphql());
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        hold.waiting(1).await;
        stack.chat_service.signal(Signal::Kill).unwrap();
        stack.chat_service.wait().await;
        stack.restart_chat_service().await;
        hold.release();
        stack
            .status_when(
                &owner,
                &chat,
                "the report is looked up and written",
                |status| status.pull_request_state() == PullRequestState::Open,
            )
            .await;
        vec![worker]
    })
    .await;
}

/// Promise 5, for PostgreSQL: every connection breaks, and the service says so and comes back.
#[tokio::test]
async fn while_the_database_is_away_calls_are_unavailable_and_afterwards_all_goes_on() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::DATABASE_AWAY);
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        stack.github.pull_request(REPOSITORY).head("feature").open();
        let chat = stack.chat(&owner).await;
        stack.database_proxy.cut();
        let refused = stack
            .chats(&owner)
            .get_chats(GetChatsRequest::default())
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        stack.database_proxy.restore();
        wait::until("calls are answered again", || async {
            stack
                .chats(&owner)
                .get_chats(GetChatsRequest::default())
                .await
                .map_err(|s| s.code())
        })
        .await;
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        stack
            .status_when(&owner, &chat, "reports are looked up again", |status| {
                status.pull_request_state() == PullRequestState::Open
            })
            .await;
        vec![worker]
    })
    .await;
}

/// Promise 5, for everything at once: PostgreSQL crashes, and chat-service and the worker are
/// killed.
#[tokio::test]
async fn no_acknowledged_report_or_outcome_is_lost_when_everything_is_killed() {
    let mut server = Server::start(Options::default()).await.unwrap();
    let database = postgres::database_on(&server).await;
    Stack::run_on(database, &[("CHAT_LEASE_DURATION", "2s")], async |stack| {
        stack.expect_warnings(warnings::CHAT_SERVICE_AWAY);
        stack.expect_warnings(warnings::DATABASE_AWAY);
        stack.expect_warnings(warnings::LEASE_LOST);
        let owner = stack.linked_user("ann").await;
        for branch in ["known", "leased", "waiting"] {
            stack.github.pull_request(REPOSITORY).head(branch).open();
        }
        let known = stack.chat(&owner).await;
        stack.report(&owner, &known, REPOSITORY, "known").await;
        let mut worker = stack.worker().await;
        let operator = Caller::user().site("admin");
        wait::until("the worker has its outcome acknowledged", || async {
            let mut client = stack.worker_service(&worker, &operator);
            let state = client.get_worker_state(GetWorkerStateRequest {}).await;
            match state.unwrap().into_inner().outcomes_reported {
                1 => Ok(()),
                other => Err(other),
            }
        })
        .await;
        let before = stack.status(&owner, &known).await;
        assert_eq!(before.pull_request_state(), PullRequestState::Open);

        let hold = stack.github.hold(Matching::graphql());
        let leased = stack.chat(&owner).await;
        stack.report(&owner, &leased, REPOSITORY, "leased").await;
        hold.waiting(1).await;
        let waiting = stack.chat(&owner).await;
        stack.report(&owner, &waiting, REPOSITORY, "waiting").await;
        server.crash().await.unwrap();
        for process in [&mut stack.chat_service, &mut worker.process] {
            process.signal(Signal::Kill).unwrap();
            process.wait().await;
        }
        server.resume().await.unwrap();
        stack.restart_chat_service().await;
        let after = stack.status(&owner, &known).await;
        assert_eq!(after.refreshed_at, before.refreshed_at);
        assert_eq!(after.pull_request_state(), PullRequestState::Open);
        hold.release();
        let worker = stack.worker().await;
        for chat in [&leased, &waiting] {
            stack
                .status_when(&owner, chat, "what was reported is looked up", |status| {
                    status.pull_request_state() == PullRequestState::Open
                })
                .await;
        }
        vec![worker]
    })
    .await;
    server.stop().await.unwrap();
}

/// A server that vanished without a word: nothing is refused, and nothing answers.
#[tokio::test]
async fn health_tells_of_a_database_that_does_not_answer_and_of_its_return() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::DATABASE_AWAY);
        let status_is = |wanted: ServingStatus| {
            let mut health = stack.health();
            async move {
                let request = HealthCheckRequest {
                    service: "chat.v1.ChatService".to_owned(),
                };
                let status = health.check(request).await.unwrap().into_inner().status();
                if status == wanted {
                    Ok(())
                } else {
                    Err(status)
                }
            }
        };
        wait::until("it serves", || status_is(ServingStatus::Serving)).await;
        stack.database_proxy.stall();
        wait::until("it does not", || status_is(ServingStatus::NotServing)).await;
        stack.database_proxy.restore();
        wait::until("it serves again", || status_is(ServingStatus::Serving)).await;
        Vec::new()
    })
    .await;
}
