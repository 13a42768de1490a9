//! Leases: who gets what, for how long, and with which credential.

mod account;
mod attention;
mod backlog;
mod budget;
mod cost;
mod credential;
mod due;
pub(crate) mod fairness;
mod fence;
mod known;
mod lost;
mod measured;
mod operator;
mod priority;
mod queue;
mod race;
mod refused_credential;
mod statements;
mod viewed;
mod waiting;

use std::{sync::Arc, time::Duration};

use chat_service::{
    accounts::KeyRing,
    authz::{Authorizer, Principal},
    events::notifier::Notifier,
    id::RequestId,
    oauth::Renewals,
    provider::Providers,
    store::{PoolOptions, Store},
    sync::{Dispatcher, DispatcherParts, LEASE_DURATION, metrics::SyncMetrics},
};
use proto::{chat::v1, sync::LeaseRequest};
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use uuid::Uuid;

use crate::{
    stack::{Stack, refused},
    worker::{
        Leased, Owner, Worker, expire_leases, found, outcome, report, request, run, settle_all,
        value,
    },
};

/// A dispatcher of a test's own on the stack's database, with other keys.
fn parts(stack: &Stack) -> DispatcherParts {
    let keys = KeyRing::generate_file_text();
    DispatcherParts {
        store: Store::new(stack.database.url(), &PoolOptions::default()).unwrap(),
        authorizer: Authorizer::new(),
        notifier: Notifier::new(),
        keys: Arc::new(KeyRing::parse(keys.expose_secret()).unwrap()),
        providers: Arc::new(Providers::default()),
        renewals: Renewals::default(),
        metrics: SyncMetrics::default(),
        lease_duration: LEASE_DURATION,
        draining: CancellationToken::new(),
    }
}

/// A worker, and its request that waits.
fn lease_request() -> (Principal, LeaseRequest) {
    let request = LeaseRequest {
        request: RequestId(Uuid::now_v7()),
        worker: "worker".to_owned(),
        max_refs: 50,
        wait: Duration::from_secs(20),
    };
    (Principal::Service("gitsync".to_owned()), request)
}

#[tokio::test]
async fn a_reported_ref_is_leased_with_its_owners_credential() {
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        owner.link("ghp_hush").await;
        let chat = owner.chat("feat/x").await;
        let lease = Worker::of(stack).lease_one().await;
        assert_eq!(lease.access_token(), Some("ghp_hush"));
        let git_ref = lease.git_ref();
        assert_eq!(git_ref.git_ref_id, chat.diff_status.unwrap().id);
        let fence = git_ref.fence.unwrap();
        assert_eq!(
            (fence.report_seq, fence.looks, fence.generation),
            (1, 0, lease.credential().unwrap().generation)
        );
        assert_eq!(git_ref.repository, "acme/web");
        assert_eq!(git_ref.branch, "feat/x");
        assert_eq!(git_ref.lane(), v1::Lane::Active);
        assert_eq!(git_ref.known, None);
        let provider = lease.0.groups.first().unwrap().provider.clone().unwrap();
        assert_eq!(provider.id, "github");
        assert_eq!(provider.api_base_url, "https://api.github.com");
        let expires = lease.0.expires_in.unwrap().seconds;
        assert!((58..=60).contains(&expires), "{expires} s");
        assert!(!lease.0.budget_key.contains("hush"));
    })
    .await;
}

#[tokio::test]
async fn without_an_account_nothing_is_leased_and_the_ref_waits_for_one() {
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        assert!(worker.lease().await.is_empty());
        let status = owner.status(&chat.id).await;
        assert_eq!(
            status.problem.clone().unwrap().class(),
            v1::ProblemClass::NoAccount
        );
        assert_eq!(status.freshness(), v1::Freshness::Paused);
        assert_eq!(status.next_refresh_at, None);
        owner.link("ghp_hush").await;
        assert_eq!(worker.lease_one().await.access_token(), Some("ghp_hush"));
        assert_eq!(owner.status(&chat.id).await.problem, None);
    })
    .await;
}

#[tokio::test]
async fn a_lease_whose_account_was_unlinked_since_has_no_credential() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let other = Owner::unlinked(stack);
        for owner in [&owner, &other] {
            owner.link("ghp_shared").await;
        }
        owner.chat("feat/x").await;
        other.chat("feat/y").await;
        let worker = Worker::of(stack);
        let once = request();
        let first = worker.try_lease(once.clone()).await.unwrap();
        assert_eq!(first[0].groups.len(), 2);
        owner.unlink().await;
        let again = worker.try_lease(once).await.unwrap();
        assert_eq!(again[0].groups.len(), 1, "nothing is due of it any more");
        let lease = Leased(again.into_iter().next().unwrap());
        assert_eq!(lease.branches(), ["feat/y"]);
    })
    .await;
}

#[tokio::test]
async fn a_waiting_lease_gets_a_ref_as_soon_as_it_is_reported() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let worker = Worker::of(stack);
        let waiting = worker.wait_for_lease();
        let reporting = async {
            let chat = owner.stack.chat(&owner.caller).await;
            owner.report(&chat.id, "feat/x").await;
        };
        let (leases, ()) = tokio::join!(waiting, reporting);
        assert_eq!(leases.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_waiting_lease_gets_a_ref_when_its_time_comes_without_any_bell() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        run(
            stack,
            "UPDATE git_ref_polls SET due_at = now() + interval '300 ms',
                early_at = now() + interval '300 ms'",
        )
        .await;
        settle_all(stack).await;
        let leases = Worker::of(stack).wait_for_lease().await;
        assert_eq!(leases.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_waiting_lease_ends_when_the_server_drains() {
    Stack::run(async |stack| {
        let draining = CancellationToken::new();
        let dispatcher = Dispatcher::new(DispatcherParts {
            draining: draining.clone(),
            ..parts(stack)
        });
        let (worker, request) = lease_request();
        let (leases, ()) = tokio::join!(dispatcher.lease(&worker, &request), async {
            draining.cancel();
        });
        assert!(leases.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_repeated_lease_returns_what_is_left_and_nothing_new() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        owner.chat("feat/y").await;
        let worker = Worker::of(stack);
        let once = request();
        let first = Leased(worker.try_lease(once.clone()).await.unwrap().remove(0));
        assert_eq!(first.refs().len(), 2);

        let again = Leased(worker.try_lease(once.clone()).await.unwrap().remove(0));
        assert_eq!(again.0.lease_token, first.0.lease_token);
        assert_eq!(again.ids(), first.ids());

        let mut one = report(
            &first.0.lease_token,
            vec![outcome(first.refs()[0], found())],
        );
        one.release_lease = false;
        worker.try_report(one).await.unwrap();
        let other = Owner::linked(stack).await;
        other.chat("feat/z").await;
        let again = worker.try_lease(once.clone()).await.unwrap();
        assert_eq!(again.len(), 1, "the other user's ref is not this request's");
        assert_eq!(
            Leased(again.into_iter().next().unwrap()).ids(),
            first.ids()[1..]
        );

        worker.release(&first.0.lease_token).await;
        assert!(
            worker.try_lease(once).await.unwrap().is_empty(),
            "nothing new"
        );
        settle_all(stack).await;
        assert_eq!(worker.lease().await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_repeated_lease_hands_out_what_became_due_of_it_since() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let once = request();
        let first = Leased(worker.try_lease(once.clone()).await.unwrap().remove(0));
        owner.chat("feat/y").await;
        let again = Leased(worker.try_lease(once).await.unwrap().remove(0));
        assert_eq!(again.0.lease_token, first.0.lease_token);
        assert_eq!(again.branches(), ["feat/x", "feat/y"]);
        let outcomes = again.refs().into_iter().map(|of| outcome(of, found()));
        worker.finish(&again, outcomes.collect()).await;
        assert!(worker.lease().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_leased_budget_is_exclusive_until_the_lease_expires() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let first = worker.lease_one().await;
        owner.chat("feat/y").await;
        assert!(worker.lease().await.is_empty(), "the budget is leased");
        expire_leases(stack).await;
        let second = worker.lease_one().await;
        assert_eq!(second.refs().len(), 2);
        assert_ne!(second.0.lease_token, first.0.lease_token);
    })
    .await;
}

/// Promise 4.
#[tokio::test]
async fn a_worker_that_lost_its_lease_can_write_nothing() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let stalled = worker.lease_one().await;
        let before = owner.status(&chat.id).await;
        let late = || {
            report(
                &stalled.0.lease_token,
                vec![outcome(stalled.git_ref(), found())],
            )
        };
        let lost = (Code::FailedPrecondition, "LEASE_LOST".to_owned(), None);

        expire_leases(stack).await;
        assert_eq!(refused(worker.try_report(late()).await), lost, "expired");
        assert_eq!(
            refused(worker.renew(&stalled.0.lease_token).await),
            lost,
            "expired"
        );
        let second = worker.lease_one().await;
        assert_eq!(refused(worker.try_report(late()).await), lost, "taken over");
        worker.release(&stalled.0.lease_token).await;
        worker.renew(&second.0.lease_token).await.unwrap();
        assert_eq!(
            owner.status(&chat.id).await.pull_request_state,
            before.pull_request_state
        );

        worker
            .finish(&second, vec![outcome(second.git_ref(), found())])
            .await;
        assert_eq!(
            refused(worker.try_report(late()).await),
            lost,
            "finished by another"
        );
        assert_eq!(owner.status(&chat.id).await.pr_number, Some(7));
    })
    .await;
}

#[tokio::test]
async fn a_renewed_lease_lasts_its_full_time_again() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        run(
            stack,
            "UPDATE git_budgets SET lease_expires_at = now() + interval '5 s',
                queue_at = now() + interval '5 s'
             WHERE lease_token IS NOT NULL",
        )
        .await;
        worker.renew(&lease.0.lease_token).await.unwrap();
        let renewed: bool = value(
            stack,
            "SELECT lease_expires_at > now() + interval '50 s' AND queue_at >= lease_expires_at
             FROM git_budgets WHERE lease_token IS NOT NULL",
        )
        .await;
        assert!(renewed);
    })
    .await;
}

#[tokio::test]
async fn a_released_lease_gives_its_refs_back() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        assert_eq!(
            owner.status(&chat.id).await.freshness(),
            v1::Freshness::Refreshing
        );
        let (_, waiting) = tokio::join!(
            worker.release(&lease.0.lease_token),
            worker.wait_for_lease()
        );
        assert_eq!(waiting.len(), 1);
        worker.release(&lease.0.lease_token).await;
    })
    .await;
}

#[tokio::test]
async fn a_lease_request_that_makes_no_sense_names_its_field() {
    Stack::run(async |stack| {
        let worker = Worker::of(stack);
        let invalid = |field: &str| {
            (
                Code::InvalidArgument,
                "FIELD_INVALID".to_owned(),
                Some(field.to_owned()),
            )
        };
        for (change, field) in [
            (
                (|request| request.request_id = "x".to_owned())
                    as fn(&mut v1::LeaseDiffStatusesRequest),
                "request_id",
            ),
            (|request| request.worker_id = String::new(), "worker_id"),
            (|request| request.worker_id = "w".repeat(101), "worker_id"),
            (|request| request.worker_id = "w\0".to_owned(), "worker_id"),
            (|request| request.max_refs = -1, "max_refs"),
            (
                |request| {
                    request.wait = Some(prost_types::Duration {
                        seconds: -1,
                        nanos: 0,
                    });
                },
                "wait",
            ),
        ] {
            let mut request = request();
            change(&mut request);
            assert_eq!(
                refused(worker.try_lease(request).await),
                invalid(field),
                "{field}"
            );
        }
        assert_eq!(
            refused(worker.renew("nonsense").await),
            invalid("lease_token")
        );
        let unknown = worker.renew(&Uuid::now_v7().to_string()).await;
        assert_eq!(
            refused(unknown),
            (Code::FailedPrecondition, "LEASE_LOST".to_owned(), None)
        );
        worker.release(&Uuid::now_v7().to_string()).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_id_names_one_kind_of_call() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease_request = request();
        let lease = Leased(
            worker
                .try_lease(lease_request.clone())
                .await
                .unwrap()
                .remove(0),
        );
        let mut wrong = report(&lease.0.lease_token, Vec::new());
        wrong.request_id = lease_request.request_id;
        let (code, _, field) = refused(worker.try_report(wrong).await);
        assert_eq!(
            (code, field.as_deref()),
            (Code::InvalidArgument, Some("request_id"))
        );
        let right = report(&lease.0.lease_token, Vec::new());
        worker.try_report(right.clone()).await.unwrap();
        let mut wrong = request();
        wrong.request_id = right.request_id;
        let (code, _, field) = refused(worker.try_lease(wrong).await);
        assert_eq!(
            (code, field.as_deref()),
            (Code::InvalidArgument, Some("request_id"))
        );
    })
    .await;
}
