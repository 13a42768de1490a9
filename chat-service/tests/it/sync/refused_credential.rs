//! A credential that the host refuses: nothing is sent with it, whoever asks, until another is linked.

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
        report_earlier, seconds, value,
    },
};

/// Reports what the host thinks of the credential of a lease, and gives the lease back.
async fn observe(worker: &Worker, lease: &Leased, state: CredentialState) {
    let mut observed = report(&lease.0.lease_token, Vec::new());
    observed.credentials = vec![v1::CredentialObservation {
        credential_id: lease.0.groups[0].credential_id.clone().unwrap(),
        state: state.into(),
        confirm_in: Some(seconds(60)),
    }];
    worker.try_report(observed).await.unwrap();
}

async fn confirmation_is_due(stack: &Stack) {
    stack
        .database
        .client()
        .await
        .batch_execute(
            "UPDATE git_accounts SET confirm_after = now() - interval '1 s'
             WHERE confirm_after IS NOT NULL",
        )
        .await
        .unwrap();
    make_all_due(stack).await;
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
        observe(&worker, &leases[1], CredentialState::Suspect).await;
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
            .filter(|lease| lease.0.groups[0].credential_suspect)
            .collect();
        assert_eq!(suspect.len(), 1);
        assert!(suspect[0].access_token().is_some());
        assert_eq!(suspect[0].refs().len(), 2);
        observe(&worker, suspect[0], CredentialState::Accepted).await;
        make_all_due(stack).await;
        let lease = worker.lease_one().await;
        assert!(!lease.0.groups[0].credential_suspect, "it is cleared");
    })
    .await;
}

#[tokio::test]
async fn a_rejected_credential_is_never_handed_out_and_its_refs_stop_until_another_is_linked() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let later = owner.chat("feat/y").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let mut outcomes = Vec::new();
        for git_ref in lease.refs() {
            let mut outcome = outcome(git_ref, found());
            outcome.validator = Some("e1".to_owned());
            outcomes.push(outcome);
        }
        worker.finish(&lease, outcomes).await;
        let before = [
            events(stack, &chat.id).await,
            events(stack, &later.id).await,
        ];
        make_all_due(stack).await;
        let lease = worker.lease_one().await;
        observe(&worker, &lease, CredentialState::Rejected).await;
        for (chat, before) in [(&chat, before[0]), (&later, before[1])] {
            let status = owner.status(&chat.id).await;
            let problem = status.problem.clone().unwrap();
            assert_eq!(problem.class(), ProblemClass::CredentialRejected);
            assert_eq!(problem.message, "reconnect your github account");
            assert_eq!(status.next_refresh_at, None);
            assert_eq!(
                status.pull_request_title, "Add a thing",
                "what is known stays"
            );
            assert_eq!(events(stack, &chat.id).await, before + 1);
        }
        make_all_due(stack).await;
        assert!(worker.lease().await.is_empty());

        // A report and a refresh are answered at once, without a worker.
        report_earlier(stack).await;
        owner.report(&chat.id, "feat/x").await;
        owner.report(&later.id, "feat/new").await;
        for chat in [&chat, &later] {
            let status = owner.status(&chat.id).await;
            assert_eq!(
                status.problem.unwrap().class(),
                ProblemClass::CredentialRejected
            );
            assert_eq!(status.next_refresh_at, None);
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
        let mut branches: Vec<&str> = lease.refs().iter().map(|of| of.branch.as_str()).collect();
        branches.sort_unstable();
        assert_eq!(branches, ["feat/new", "feat/x", "feat/y"]);
        assert!(!lease.0.groups[0].credential_suspect);
        for git_ref in lease.refs() {
            assert_eq!(git_ref.validator, None, "it was the former token's");
        }
    })
    .await;
}

#[tokio::test]
async fn what_became_due_with_a_rejected_credential_is_told_so_by_the_next_lease() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        // As a crash between a report and what it means for other refs leaves it.
        let client = stack.database.client().await;
        client
            .batch_execute("UPDATE git_accounts SET credential_state = 'rejected'")
            .await
            .unwrap();
        let before = events(stack, &chat.id).await;
        let worker = Worker::of(stack);
        assert!(worker.lease().await.is_empty());
        assert_eq!(
            problem(&owner, &chat).await,
            Some(ProblemClass::CredentialRejected)
        );
        assert_eq!(events(stack, &chat.id).await, before + 1);
        let ready: i64 = value(
            stack,
            "SELECT count(*) FROM git_budgets WHERE ready_at IS NOT NULL",
        )
        .await;
        assert_eq!(ready, 0, "and nobody looks again");
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
        observe(&worker, &lease, CredentialState::Rejected).await;
        let lease = worker.lease_one().await;
        assert_eq!(lease.access_token(), Some("ghp_new"));
    })
    .await;
}

#[tokio::test]
async fn nobodys_credential_is_observed_but_those_of_the_leased_key() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let victim = Owner::linked(stack).await;
        victim.chat("feat/y").await;
        let victims = worker.lease_one().await;
        let mut forged = report(&lease.0.lease_token, Vec::new());
        forged.credentials = vec![v1::CredentialObservation {
            credential_id: victims.0.groups[0].credential_id.clone().unwrap(),
            state: CredentialState::Rejected.into(),
            confirm_in: None,
        }];
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
async fn a_new_token_cures_what_a_new_token_can_cure() {
    for (class, cured) in [
        (ProblemClass::CredentialSuspect, true),
        (ProblemClass::AccountLocked, true),
        (ProblemClass::SsoRequired, true),
        (ProblemClass::AddressNotAllowed, false),
        (ProblemClass::HostUnavailable, false),
    ] {
        Stack::run(async |stack| {
            let owner = Owner::linked(stack).await;
            owner.chat("feat/x").await;
            let worker = Worker::of(stack);
            worker.answer(failed(class)).await;
            owner.link("ghp_new").await;
            assert_eq!(!worker.lease().await.is_empty(), cured, "{class:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn who_waits_in_a_refresh_hears_at_once_that_the_credential_is_rejected() {
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
            testkit::wait::until("somebody waits", || async {
                let lane: i16 = value(stack, "SELECT lane FROM chat_diff_statuses").await;
                if lane == 1 { Ok(()) } else { Err(lane) }
            })
            .await;
            observe(&worker, &lease, CredentialState::Rejected).await;
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
async fn all_refs_of_a_refused_credential_are_held_back_however_many_there_are() {
    Stack::run(async |stack| {
        let worker = Worker::of(stack);
        for state in [CredentialState::Rejected, CredentialState::Suspect] {
            // More than are held at once, of a lane and of all.
            let user = tenant_with(stack, [70, 20], 3, 60).await;
            let mut owner = Owner::unlinked(stack);
            owner.caller.claims.sub = user.to_string();
            owner.link(&format!("ghp_{}", user.simple())).await;
            stack
                .database
                .client()
                .await
                .batch_execute(&format!(
                    "UPDATE chat_diff_statuses SET lane = 4
                     WHERE owner_id = '{user}' AND git_branch > 'feat/18'"
                ))
                .await
                .unwrap();
            let lease = worker.lease_one().await;
            observe(&worker, &lease, state).await;
            let held: i64 = value(
                stack,
                &format!(
                    "SELECT count(*) FROM chat_diff_statuses s
                     JOIN git_accounts a ON a.user_id = s.owner_id
                     WHERE s.owner_id = '{user}'
                        AND s.problem_class = 'credential_' || a.credential_state
                        AND s.due_at IS NOT DISTINCT FROM a.confirm_after"
                ),
            )
            .await;
            assert_eq!(held, 1_400, "{state:?}");
            assert!(worker.lease().await.is_empty());
        }
    })
    .await;
}
