//! Outcomes that chat-service does not take.

use gitsync_service::worker::Settings;
use proto::chat::v1 as pb;
use testkit::wait::until;

use crate::{
    stack::{FENCE, Stack, short_lived},
    sync_server::Poison,
};

/// More than a gRPC message may hold, and less than an answer of a git host.
const LONG: usize = 5 * 1024 * 1024;

#[tokio::test]
async fn a_title_that_no_message_can_hold_is_cut_and_costs_no_status() {
    Stack::run(async |stack| {
        let title = "t".repeat(LONG);
        let pull = stack.github.pull_request("acme/web").head("a");
        pull.title(&title).open();
        stack.chat().queue(stack.lease("lease", &["a"]));
        stack.start_worker();
        let outcome = stack.applied("a").await;
        let Some(pb::outcome::Result::Found(found)) = outcome.result else {
            panic!("{outcome:?}");
        };
        assert_eq!(found.title, title[..256]);
        stack.released("lease").await;
    })
    .await;
}

#[tokio::test]
async fn an_outcome_that_is_refused_costs_no_other_and_is_a_failure_of_ours() {
    for refs in [&["a", "b", "c"][..], &["b"]] {
        Stack::run(async |stack| {
            stack.chat().poison("b", Poison::Found);
            stack.chat().queue(stack.lease("lease", refs));
            stack.start_worker();
            stack.released("lease").await;
            let outcomes = stack.chat().outcomes();
            assert_eq!(outcomes.len(), refs.len());
            for (git_ref, outcome) in outcomes {
                let failed = match &outcome.result {
                    Some(pb::outcome::Result::Failed(failed)) => Some(failed.class()),
                    _ => None,
                };
                let refused = git_ref == "b";
                assert_eq!(failed, refused.then_some(pb::ProblemClass::Internal));
                assert_eq!(outcome.fence, Some(FENCE));
                assert!(outcome.next_refresh_in.unwrap().seconds >= if refused { 4 } else { 1 });
            }
            assert!(stack.metric("gitsync_outcomes_rejected_total 1"));
        })
        .await;
    }
}

#[tokio::test]
async fn an_outcome_whose_status_is_not_known_was_not_rejected() {
    Stack::run(async |stack| {
        stack.chat().answer_as_later();
        stack.chat().queue(stack.lease("lease", &["a"]));
        stack.start_worker();
        stack.released("lease").await;
        assert!(stack.metric("gitsync_outcomes_rejected_total 0"));
    })
    .await;
}

#[tokio::test]
async fn an_observation_that_is_refused_costs_no_outcome() {
    for poisoned in [false, true] {
        Stack::run(async |stack| {
            stack.chat().observe_nothing();
            if poisoned {
                stack.chat().poison("b", Poison::Found);
            }
            stack.chat().queue(stack.lease("lease", &["a", "b"]));
            stack.start_worker();
            stack.released("lease").await;
            let failed = |git_ref: &str| {
                let result = stack.chat().outcomes()[git_ref].result.clone();
                matches!(result, Some(pb::outcome::Result::Failed(_)))
            };
            assert_eq!((failed("a"), failed("b")), (false, poisoned));
        })
        .await;
    }
}

/// Given back, it would be due at once, and so on without a pause.
#[tokio::test]
async fn a_lease_is_not_given_back_with_a_ref_that_has_no_outcome() {
    Stack::run(async |stack| {
        stack.chat().poison("b", Poison::Everything);
        stack.chat().queue(stack.lease("lease", &["a", "b"]));
        stack.chat().queue(short_lived(
            stack.lease("next", &["c"]),
            std::time::Duration::from_secs(30),
        ));
        stack.start_worker_with(Settings {
            batch_size: 2,
            ..Settings::default()
        });
        stack.applied("a").await;
        stack.released("next").await;
        stack.stop.cancel();
        stack.ended().await;
        assert!(!stack.chat().is_released("lease"));
        assert!(!stack.chat().outcomes().contains_key("b"));
        until("no call is on its way", || async {
            let calls = stack.chat().calls("release").len();
            if calls == 0 { Ok(()) } else { Err(calls) }
        })
        .await;
    })
    .await;
}
