//! Races for one budget. CI repeats these.

use std::sync::Arc;

use proto::chat::v1::{self, OutcomeResultStatus};
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    stack::Stack,
    worker::{Leased, Owner, Worker, found, none, outcome, report, request, settle_all},
};

/// Runs `tasks` from the same moment on, and returns what they return.
async fn together<T: Send + 'static>(
    tasks: Vec<impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(tasks.len()));
    let mut set = JoinSet::new();
    for task in tasks {
        let barrier = Arc::clone(&barrier);
        set.spawn(async move {
            barrier.wait().await;
            task.await
        });
    }
    set.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_workers_never_hold_one_budget() {
    Stack::run(async |stack| {
        let mut owners = Vec::new();
        for _ in 0..4 {
            let owner = Owner::linked(stack).await;
            owner.chat("feat/x").await;
            owner.chat("feat/y").await;
            owners.push(owner);
        }
        for _ in 0..5 {
            let leasing = (0..8).map(|_| {
                let worker = Worker::of(stack);
                async move { worker.lease().await }
            });
            let leases: Vec<v1::Lease> = together(leasing.collect())
                .await
                .into_iter()
                .flatten()
                .collect();
            let mut keys: Vec<&str> = leases
                .iter()
                .map(|lease| lease.budget_key.as_str())
                .collect();
            keys.sort_unstable();
            let held = keys.len();
            keys.dedup();
            assert_eq!(keys.len(), held, "a budget has two holders");
            let worker = Worker::of(stack);
            let mut refs = 0;
            for lease in leases.into_iter().map(Leased) {
                refs += lease.refs().len();
                worker.release(&lease.0.lease_token).await;
            }
            assert!(refs <= 8, "{refs} refs were leased of 8");
            settle_all(stack).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_lease_request_sent_many_times_at_once_leases_once() {
    Stack::run(async |stack| {
        for _ in 0..3 {
            Owner::linked(stack).await.chat("feat/x").await;
        }
        let mut one = request();
        one.max_refs = 1;
        let leasing = (0..6).map(|_| {
            let (worker, request) = (Worker::of(stack), one.clone());
            async move { worker.try_lease(request).await.unwrap() }
        });
        let answers = together(leasing.collect()).await;
        let mut tokens: Vec<String> = answers
            .into_iter()
            .flatten()
            .map(|lease| lease.lease_token)
            .collect();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "one request has one lease");
        let worker = Worker::of(stack);
        assert_eq!(
            worker.lease().await.len(),
            2,
            "the others' claims were given back"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_report_sent_many_times_at_once_is_applied_once() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let lease = Worker::of(stack).lease_one().await;
        let one = report(
            &lease.0.lease_token,
            vec![outcome(lease.git_ref(), found())],
        );
        let reporting = (0..6).map(|_| {
            let (worker, request) = (Worker::of(stack), one.clone());
            async move { worker.try_report(request).await.unwrap() }
        });
        for answer in together(reporting.collect()).await {
            assert_eq!(answer, [OutcomeResultStatus::Applied]);
        }
        let outcomes: i64 = stack
            .database
            .client()
            .await
            .query_one("SELECT outcome_seq FROM git_ref_polls", &[])
            .await
            .unwrap()
            .try_get(0)
            .unwrap();
        assert_eq!(outcomes, 1);
    })
    .await;
}

/// Promise 3.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_git_ref_reported_while_an_outcome_is_written_is_looked_up_again() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        for _ in 0..10 {
            let lease = worker.lease_one().await;
            let reporting = {
                let (worker, request) = (
                    worker.clone(),
                    report(&lease.0.lease_token, vec![outcome(lease.git_ref(), none())]),
                );
                async move { worker.try_report(request).await.map(|_| ()) }
            };
            let pushing = {
                let mut client = stack.chats(&owner.caller);
                let request =
                    crate::worker::git_ref(&chat.id, "https://github.com/acme/web", "feat/x");
                async move { client.report_git_ref(request).await.map(|_| ()) }
            };
            let (reported, pushed) = tokio::join!(reporting, pushing);
            reported.unwrap();
            pushed.unwrap();
        }
        assert_eq!(
            worker.lease().await.len(),
            1,
            "the last report is still looked up"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reports_links_and_leases_at_once_lose_no_ref() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let mut chats = Vec::new();
        for _ in 0..4 {
            chats.push(stack.chat(&owner.caller).await.id);
        }
        let mut tasks: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>> = Vec::new();
        for (number, chat) in chats.iter().enumerate() {
            let mut client = stack.chats(&owner.caller);
            let chat = chat.clone();
            tasks.push(Box::pin(async move {
                for round in 0..5 {
                    let branch = format!("feat/{number}-{round}");
                    let request =
                        crate::worker::git_ref(&chat, "https://github.com/acme/web", &branch);
                    client.report_git_ref(request).await.unwrap();
                }
            }));
        }
        let mut accounts = stack.accounts(&owner.caller);
        tasks.push(Box::pin(async move {
            for round in 0..5 {
                let request = v1::LinkGitAccountRequest {
                    provider_id: "github".to_owned(),
                    access_token: format!("ghp_{round}"),
                    ..v1::LinkGitAccountRequest::default()
                };
                accounts.link_git_account(request).await.unwrap();
                let provider_id = "github".to_owned();
                let request = v1::UnlinkGitAccountRequest {
                    user_id: None,
                    provider_id,
                };
                accounts.unlink_git_account(request).await.unwrap();
            }
        }));
        for _ in 0..2 {
            let worker = Worker::of(stack);
            tasks.push(Box::pin(async move {
                for _ in 0..5 {
                    for lease in worker.lease().await {
                        worker.release(&lease.lease_token).await;
                    }
                }
            }));
        }
        together(tasks).await;
        owner.link("ghp_last").await;
        settle_all(stack).await;
        let mut branches: Vec<String> = Worker::of(stack)
            .lease()
            .await
            .into_iter()
            .flat_map(|lease| lease.groups)
            .flat_map(|group| group.refs)
            .map(|git_ref| git_ref.branch)
            .collect();
        branches.sort_unstable();
        // None was looked up since its last report, whatever is the primary now.
        let mut expected: Vec<String> = (0..4)
            .flat_map(|chat| (0..5).map(move |round| format!("feat/{chat}-{round}")))
            .collect();
        expected.sort_unstable();
        assert_eq!(branches, expected);
    })
    .await;
}
