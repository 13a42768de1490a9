//! A credential that the host refuses: no request is sent with it before its next retry.

use proto::{
    chat::v1::{self, CredentialState, ProblemClass},
    reason,
};
use tonic::Code;

use super::fairness::tenant_with;
use crate::{
    stack::{Caller, Stack, facts},
    worker::{
        Leased, Owner, Worker, events, failed, found, make_all_due, outcome, report,
        report_earlier, run, settle_all, value,
    },
};

/// What the host thinks of the credential of a lease.
fn of(lease: &Leased, refused: bool) -> v1::CredentialObservation {
    let credential = lease.credential().unwrap();
    v1::CredentialObservation {
        credential_id: credential.id.clone(),
        generation: credential.generation,
        refused,
        expires_at: None,
    }
}

/// Reports what the host thinks of the credential of a lease, and gives the lease back.
async fn observe(worker: &Worker, lease: &Leased, refused: bool) {
    let mut observed = report(&lease.0.lease_token, Vec::new());
    observed.credentials = vec![of(lease, refused)];
    worker.try_report(observed).await.unwrap();
}

async fn confirmation_is_due(stack: &Stack) {
    run(
        stack,
        "UPDATE git_accounts SET retry_at = now() - interval '1 s' WHERE retry_at IS NOT NULL",
    )
    .await;
    make_all_due(stack).await;
}

/// Waits until the chat has `expected` change events.
async fn until_events(stack: &Stack, chat: &str, expected: i64) {
    testkit::wait::until("the change is announced", || async {
        let events = events(stack, chat).await;
        if events == expected {
            Ok(())
        } else {
            Err(events)
        }
    })
    .await;
}

async fn problem(owner: &Owner<'_>, chat: &v1::Chat) -> Option<ProblemClass> {
    let problem = owner.status(&chat.id).await.problem;
    problem.map(|problem| problem.class())
}

#[tokio::test]
async fn nothing_is_sent_with_a_suspect_credential_before_it_is_to_be_confirmed() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let other = owner.chat("feat/y").await;
        let stranger = Owner::linked(stack).await;
        let strange = stranger.chat("feat/z").await;
        let worker = Worker::of(stack);
        let mut leases: Vec<Leased> = worker.lease().await.into_iter().map(Leased).collect();
        leases.sort_by_key(|lease| lease.refs().len());
        observe(&worker, &leases[1], true).await;
        worker.release(&leases[0].0.lease_token).await;
        for chat in [&chat, &other] {
            assert_eq!(
                problem(&owner, chat).await,
                Some(ProblemClass::CredentialSuspect)
            );
        }
        assert_eq!(problem(&stranger, &strange).await, None);

        // Neither a report nor a refresh nor a moment that came lifts it; others go on.
        report_earlier(stack).await;
        owner.report(&chat.id, "feat/x").await;
        owner.report(&other.id, "feat/new").await;
        assert_eq!(
            problem(&owner, &other).await,
            Some(ProblemClass::CredentialSuspect)
        );
        make_all_due(stack).await;
        let lease = worker.lease_one().await;
        assert_eq!(lease.git_ref().branch, "feat/z");
        worker.release(&lease.0.lease_token).await;
        let request = v1::RefreshChatRequest {
            chat_id: chat.id.clone(),
        };
        let refusal = stack.chats(&owner.caller).refresh_chat(request).await;
        let (code, why, _) = facts(&refusal.unwrap_err());
        assert_eq!(code, Code::FailedPrecondition);
        assert_eq!(why, reason::GIT_CREDENTIAL_REJECTED);

        confirmation_is_due(stack).await;
        let leases: Vec<Leased> = worker.lease().await.into_iter().map(Leased).collect();
        let suspect: Vec<&Leased> = leases
            .iter()
            .filter(|lease| lease.credential().unwrap().suspect)
            .collect();
        assert_eq!(suspect.len(), 1);
        assert_eq!(suspect[0].branches(), ["feat/new", "feat/x", "feat/y"]);
        observe(&worker, suspect[0], false).await;
        assert_eq!(problem(&owner, &chat).await, None);
        make_all_due(stack).await;
        let lease = worker.lease_one().await;
        assert!(!lease.credential().unwrap().suspect, "it is cleared");
    })
    .await;
}

/// The account as its owner sees it.
async fn account(owner: &Owner<'_>) -> v1::GitAccount {
    let request = v1::ListGitAccountsRequest::default();
    let mut accounts = owner.stack.accounts(&owner.caller);
    let list = accounts.list_git_accounts(request).await.unwrap();
    list.into_inner().accounts.remove(0)
}

/// Has the host refuse the one credential as often as it takes to be rejected.
async fn reject(stack: &Stack, worker: &Worker) {
    for _ in 0..4 {
        confirmation_is_due(stack).await;
        observe(worker, &worker.lease_one().await, true).await;
    }
}

const DAY: f64 = 86400.0;

/// Promise 13. The times are the database's: a worker says that it was refused, and nothing else.
#[tokio::test]
async fn a_refusal_is_confirmed_after_a_minute_ten_minutes_and_an_hour_before_the_credential_is_rejected()
 {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        for (seconds, state, class) in [
            (
                60.0,
                CredentialState::Suspect,
                ProblemClass::CredentialSuspect,
            ),
            (
                600.0,
                CredentialState::Suspect,
                ProblemClass::CredentialSuspect,
            ),
            (
                3600.0,
                CredentialState::Suspect,
                ProblemClass::CredentialSuspect,
            ),
            (
                DAY,
                CredentialState::Rejected,
                ProblemClass::CredentialRejected,
            ),
            (
                DAY,
                CredentialState::Rejected,
                ProblemClass::CredentialRejected,
            ),
        ] {
            let lease = worker.lease_one().await;
            // A refusal counts once a lease, however many reports repeat it.
            let mut message = report(&lease.0.lease_token, Vec::new());
            message.release_lease = false;
            message.credentials = vec![of(&lease, true)];
            worker.try_report(message).await.unwrap();
            observe(&worker, &lease, true).await;
            assert_eq!(account(&owner).await.credential_state(), state);
            assert_eq!(problem(&owner, &chat).await, Some(class));
            let retry: f64 = value(
                stack,
                "SELECT extract(epoch FROM retry_at - now())::double precision FROM git_accounts",
            )
            .await;
            assert!((seconds - 5.0..=seconds * 1.1).contains(&retry), "{retry}");
            make_all_due(stack).await;
            assert!(worker.lease().await.is_empty());
            confirmation_is_due(stack).await;
        }
        // Taken again, it is as good as before.
        let lease = worker.lease_one().await;
        assert!(lease.credential().unwrap().suspect);
        observe(&worker, &lease, false).await;
        let seen = account(&owner).await.credential_state();
        assert_eq!(seen, CredentialState::Accepted);
        assert_eq!(problem(&owner, &chat).await, None);
        make_all_due(stack).await;
        observe(&worker, &worker.lease_one().await, true).await;
        let seen = account(&owner).await.credential_state();
        assert_eq!(seen, CredentialState::Suspect);
    })
    .await;
}

#[tokio::test]
async fn when_a_token_expires_is_kept_and_one_that_has_expired_is_rejected_by_the_second_refusal() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        assert_eq!(account(&owner).await.expires_at, None);
        for at in [4_000_000_000, 1_000_000_000] {
            let expires_at = Some(prost_types::Timestamp {
                seconds: at,
                nanos: 0,
            });
            settle_all(stack).await;
            let lease = worker.lease_one().await;
            let mut message = report(&lease.0.lease_token, Vec::new());
            message.credentials = vec![v1::CredentialObservation {
                expires_at,
                ..of(&lease, false)
            }];
            worker.try_report(message).await.unwrap();
            let seen = account(&owner).await;
            assert_eq!(seen.expires_at, expires_at);
            assert_eq!(seen.credential_state(), CredentialState::Accepted);
            settle_all(stack).await;
            let lease = worker.lease_one().await;
            assert_eq!(lease.credential().unwrap().expires_at, expires_at);
            worker.release(&lease.0.lease_token).await;
        }
        // The expiry that is known may be wrong.
        for state in [CredentialState::Suspect, CredentialState::Rejected] {
            confirmation_is_due(stack).await;
            observe(&worker, &worker.lease_one().await, true).await;
            assert_eq!(account(&owner).await.credential_state(), state);
        }
    })
    .await;
}

#[tokio::test]
async fn the_refs_of_a_rejected_credential_wait_for_the_next_day_or_until_another_is_linked() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let later = owner.chat("feat/y").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let outcomes = lease.refs().into_iter().map(|of| outcome(of, found()));
        worker.finish(&lease, outcomes.collect()).await;
        let before = [
            events(stack, &chat.id).await,
            events(stack, &later.id).await,
        ];
        make_all_due(stack).await;
        observe(&worker, &worker.lease_one().await, true).await;
        for (chat, before) in [(&chat, before[0]), (&later, before[1])] {
            until_events(stack, &chat.id, before + 1).await;
        }
        reject(stack, &worker).await;
        for (chat, before) in [(&chat, before[0]), (&later, before[1])] {
            let status = owner.status(&chat.id).await;
            let problem = status.problem.clone().unwrap();
            assert_eq!(problem.class(), ProblemClass::CredentialRejected);
            assert_eq!(problem.message, "reconnect your github account");
            assert!(status.next_refresh_at.is_some(), "it is tried once a day");
            assert_eq!(
                status.pull_request_title, "Add a thing",
                "what is known stays"
            );
            until_events(stack, &chat.id, before + 2).await;
        }
        make_all_due(stack).await;
        assert!(worker.lease().await.is_empty());

        // A report and a refresh are answered at once, without a worker.
        report_earlier(stack).await;
        owner.report(&chat.id, "feat/x").await;
        owner.report(&later.id, "feat/new").await;
        for chat in [&chat, &later] {
            let class = problem(&owner, chat).await;
            assert_eq!(class, Some(ProblemClass::CredentialRejected));
        }
        let request = v1::RefreshChatRequest {
            chat_id: chat.id.clone(),
        };
        let refusal = stack.chats(&owner.caller).refresh_chat(request).await;
        assert_eq!(
            facts(&refusal.unwrap_err()).1,
            reason::GIT_CREDENTIAL_REJECTED
        );
        assert!(worker.lease().await.is_empty());

        owner.link("ghp_new").await;
        let lease = worker.lease_one().await;
        assert_eq!(lease.access_token(), Some("ghp_new"));
        assert_eq!(lease.branches(), ["feat/new", "feat/x", "feat/y"]);
        assert!(!lease.credential().unwrap().suspect);
        assert_eq!(problem(&owner, &chat).await, None);
    })
    .await;
}

#[tokio::test]
async fn what_was_learned_of_a_replaced_token_is_not_held_against_the_new_one() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        owner.link("ghp_new").await;
        observe(&worker, &lease, true).await;
        let lease = worker.lease_one().await;
        assert_eq!(lease.access_token(), Some("ghp_new"));
    })
    .await;
}

#[tokio::test]
async fn what_was_learned_of_a_token_is_not_held_against_its_successor_of_the_same_account() {
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        let worker = Worker::of(stack);
        owner.link("ghp_one").await;
        owner.chat("feat/x").await;
        // Both tokens are known to be one account's: they spend one budget.
        for token in ["ghp_one", "ghp_other"] {
            owner.link(token).await;
            settle_all(stack).await;
            let lease = worker.lease_one().await;
            let mut message = report(&lease.0.lease_token, Vec::new());
            message.budget = Some(v1::BudgetObservation {
                account_id: Some("4711".to_owned()),
                ..v1::BudgetObservation::default()
            });
            worker.try_report(message).await.unwrap();
        }
        settle_all(stack).await;
        let lease = worker.lease_one().await;
        assert_eq!(lease.access_token(), Some("ghp_other"));
        owner.link("ghp_one").await;
        observe(&worker, &lease, true).await;
        settle_all(stack).await;
        assert_eq!(worker.lease_one().await.access_token(), Some("ghp_one"));
    })
    .await;
}

#[tokio::test]
async fn no_credential_is_observed_but_those_of_the_leased_budget() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let victim = Owner::linked(stack).await;
        victim.chat("feat/y").await;
        let victims = worker.lease_one().await;
        let mut forged = report(&lease.0.lease_token, Vec::new());
        forged.credentials = vec![of(&victims, true)];
        worker.try_report(forged).await.unwrap();
        let states: i64 = value(
            stack,
            "SELECT count(*) FROM git_accounts WHERE credential_state = 'accepted'",
        )
        .await;
        assert_eq!(states, 2);
    })
    .await;
}

#[tokio::test]
async fn a_new_token_has_what_the_former_one_could_not_read_looked_up_again() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let cured = [
            ProblemClass::AccessDenied,
            ProblemClass::RepositoryNotFound,
            ProblemClass::SsoRequired,
            ProblemClass::AddressNotAllowed,
        ];
        let not_cured = [ProblemClass::HostUnavailable, ProblemClass::QueryTooHeavy];
        let worker = Worker::of(stack);
        for class in cured.into_iter().chain(not_cured) {
            owner.chat(&format!("feat/{class:?}")).await;
            worker.answer(failed(class)).await;
        }
        let (leases, _) = tokio::join!(worker.wait_for_lease(), owner.link("ghp_new"));
        let lease = Leased(leases.into_iter().next().unwrap());
        assert_eq!(lease.access_token(), Some("ghp_new"));
        let mut expected = cured.map(|class| format!("feat/{class:?}"));
        expected.sort_unstable();
        assert_eq!(lease.branches(), expected);
    })
    .await;
}

#[tokio::test]
async fn who_waits_in_a_refresh_hears_at_once_that_the_credential_is_refused() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let waiting = async {
            let request = v1::RefreshChatRequest {
                chat_id: chat.id.clone(),
            };
            let caller: &Caller = &owner.caller;
            stack.chats(caller).refresh_chat(request).await
        };
        let rejecting = async {
            testkit::wait::until("a call waits", || async {
                let lane: i16 = value(stack, "SELECT lane FROM git_ref_polls").await;
                if lane == 1 { Ok(()) } else { Err(lane) }
            })
            .await;
            observe(&worker, &lease, true).await;
        };
        let (refusal, ()) = tokio::join!(waiting, rejecting);
        assert_eq!(
            facts(&refusal.unwrap_err()).1,
            reason::GIT_CREDENTIAL_REJECTED
        );
    })
    .await;
}

#[tokio::test]
async fn every_chat_of_a_refused_credential_hears_of_it_however_many_there_are() {
    Stack::run(async |stack| {
        let worker = Worker::of(stack);
        // More chats than one event statement announces.
        let user = tenant_with(stack, [1_400, 1], 3, 60).await;
        let mut owner = Owner::unlinked(stack);
        owner.caller.claims.sub = user.to_string();
        owner.link("ghp_hush").await;
        let until_announced = async |after: i64| {
            testkit::wait::until("all chats hear of it", || async {
                let announced: i64 = value(
                    stack,
                    &format!(
                        "SELECT count(DISTINCT e.chat_id) FROM change_events e
                         JOIN chats c ON c.id = e.chat_id
                         WHERE c.owner_id = '{user}' AND e.id > {after}"
                    ),
                )
                .await;
                if announced == 1_400 {
                    Ok(())
                } else {
                    Err(announced)
                }
            })
            .await;
        };
        // Linking is announced, too.
        until_announced(0).await;
        let last: i64 = value(stack, "SELECT max(id) FROM change_events").await;
        let lease = worker.lease_one().await;
        observe(&worker, &lease, true).await;
        assert!(worker.lease().await.is_empty());
        until_announced(last).await;
    })
    .await;
}
