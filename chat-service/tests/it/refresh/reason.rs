//! Why nothing is sent: every chat of the owner says it, and so does a refresh.

use proto::chat::v1::{self, Freshness, ProblemClass};

use super::refresh;
use crate::{
    stack::{Stack, facts},
    worker::{Owner, Worker, found, make_all_due, outcome, pause, report},
};

/// Pauses the budget of the owner's one lease, or has it rest.
fn observed(class: ProblemClass) -> v1::BudgetObservation {
    let mut observed = v1::BudgetObservation::default();
    let is_own_choice = [ProblemClass::LimitReserved, ProblemClass::HostUnavailable];
    let pause = Some(pause(600, class));
    if is_own_choice.contains(&class) {
        observed.rest = pause;
    } else {
        observed.pause = pause;
    }
    observed
}

#[tokio::test]
async fn every_chat_of_an_owner_says_why_it_is_paused_and_a_refresh_gives_the_same_reason() {
    for (class, words, why) in [
        (
            ProblemClass::RateLimited,
            "rate limited until",
            "GIT_HOST_RATE_LIMITED",
        ),
        (
            ProblemClass::SecondaryLimited,
            "rate limited until",
            "GIT_HOST_RATE_LIMITED",
        ),
        (
            ProblemClass::LimitReserved,
            "what you have left at github is kept for you until",
            "GIT_HOST_LIMIT_RESERVED",
        ),
        (
            ProblemClass::AccountLocked,
            "your github account is suspended or locked",
            "GIT_ACCOUNT_LOCKED",
        ),
        (
            ProblemClass::HostUnavailable,
            "github is not answering",
            "GIT_HOST_FAILED",
        ),
    ] {
        Stack::run(async |stack| {
            let owner = Owner::linked(stack).await;
            let worker = Worker::of(stack);
            let met = owner.chat("feat/met").await;
            let well = owner.chat("feat/well").await;
            let lease = worker.lease_one().await;
            let outcomes = lease.refs().into_iter().map(|of| outcome(of, found()));
            worker.finish(&lease, outcomes.collect()).await;
            make_all_due(stack).await;
            // One of them was looked up before the limit was met.
            let lease = worker.lease_one().await;
            let refs = lease.refs();
            let looked_up = refs.iter().find(|of| of.branch == "feat/well").unwrap();
            let mut message = report(&lease.0.lease_token, vec![outcome(looked_up, found())]);
            message.budget = Some(observed(class));
            worker.try_report(message).await.unwrap();
            let reported_later = owner.chat("feat/later").await;
            for chat in [met, well, reported_later] {
                let status = owner.status(&chat.id).await;
                assert_eq!(status.freshness(), Freshness::Paused, "{class:?}");
                let problem = status.problem.clone().unwrap();
                assert_eq!(problem.class(), class);
                assert!(problem.message.starts_with(words), "{}", problem.message);
                let refused = refresh(stack, &owner.caller, &chat.id).await.unwrap_err();
                assert_eq!(facts(&refused).1, why, "{class:?}");
            }
            assert!(worker.lease().await.is_empty());
        })
        .await;
    }
}

/// A reserve is for background lanes, and would not keep a refresh from being asked.
#[tokio::test]
async fn a_suspended_account_is_the_reason_also_while_a_reserve_lasts_longer() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let mut message = report(&worker.lease_one().await.0.lease_token, Vec::new());
        message.budget = Some(v1::BudgetObservation {
            pause: Some(pause(600, ProblemClass::AccountLocked)),
            rest: Some(v1::Pause {
                from_lane: v1::Lane::Viewed.into(),
                ..pause(3600, ProblemClass::LimitReserved)
            }),
            ..v1::BudgetObservation::default()
        });
        worker.try_report(message).await.unwrap();
        let problem = owner.status(&chat.id).await.problem.unwrap();
        assert_eq!(problem.class(), ProblemClass::AccountLocked);
        let refused = refresh(stack, &owner.caller, &chat.id).await.unwrap_err();
        assert_eq!(facts(&refused).1, "GIT_ACCOUNT_LOCKED");
    })
    .await;
}
