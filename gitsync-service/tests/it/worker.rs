//! The worker's life: leasing, renewing, reporting, and losing.

use std::time::Duration;

use gitsync_service::worker::{BATCH_SIZE, INTERVAL, Settings};
use proto::chat::v1 as pb;
use testkit::{
    github::{Fault, Matching},
    wait::until,
};

use crate::{
    stack::{FENCE, Stack, short_lived},
    support::ref_id,
    sync_server::Failure,
};

fn class(outcome: &pb::Outcome) -> pb::ProblemClass {
    match &outcome.result {
        Some(pb::outcome::Result::Failed(failed)) => failed.class(),
        other => panic!("it should have failed, but: {other:?}"),
    }
}

#[tokio::test]
async fn a_leased_ref_is_looked_up_reported_and_given_back_with_the_last_report() {
    Stack::run(async |stack| {
        stack
            .github
            .pull_request("acme/web")
            .head("a")
            .title("A")
            .open();
        stack.chat().queue(stack.lease("lease", &["a", "b"]));
        stack.start_worker();
        let found = stack.applied("a").await;
        let Some(pb::outcome::Result::Found(pull)) = &found.result else {
            panic!("{found:?}");
        };
        assert_eq!((pull.title.as_str(), pull.number), ("A", 1));
        assert_eq!(pull.state(), pb::PullRequestState::Open);
        assert_eq!(found.fence, Some(FENCE));
        assert!(found.next_refresh_in.is_some());
        let none = stack.applied("b").await;
        assert!(matches!(
            none.result,
            Some(pb::outcome::Result::NoPullRequest(_))
        ));
        stack.released("lease").await;
        let reports = stack.chat().reports();
        assert!(reports.last().unwrap().release_lease);
        let windows = &reports.last().unwrap().budget.as_ref().unwrap().windows;
        let [graphql] = windows.as_slice() else {
            panic!("{windows:?}");
        };
        assert_eq!(
            (graphql.name.as_str(), graphql.remaining),
            ("graphql", Some(4999))
        );
        assert_eq!(graphql.length.unwrap().seconds, 3600);
        assert!(stack.chat().calls("release").is_empty());
        let host = stack.github.api_base_url();
        let points = format!("{{host=\"{host}\",endpoint=\"graphql_discover\"}} 1");
        let left = format!("_count{{host=\"{host}\",window=\"graphql\"}} 1");
        for line in [
            &format!("gitsync_host_graphql_points_total{points}"),
            &format!("gitsync_window_left_ratio{left}"),
            "gitsync_batch_questions_sum{kind=\"discover\"} 2.0",
            "gitsync_interval_stretch_count 1",
            "gitsync_leases_held 0",
        ] {
            assert!(stack.metric(line), "{line}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_ref_that_becomes_due_is_looked_up_without_waiting_for_the_interval() {
    Stack::run(async |stack| {
        stack.start_worker();
        until("the worker waits", || async {
            let calls = stack.chat().calls("lease");
            calls
                .iter()
                .any(|call| call.wait == Some(INTERVAL))
                .then_some(())
                .ok_or(calls)
        })
        .await;
        stack.chat().queue(stack.lease("lease", &["a"]));
        stack.applied("a").await;
        let calls = stack.chat().calls("lease");
        assert!(
            calls
                .iter()
                .all(|call| call.max_refs == i32::try_from(BATCH_SIZE).unwrap())
        );
    })
    .await;
}

#[tokio::test]
async fn a_full_batch_is_followed_by_the_next_while_it_is_worked_on() {
    Stack::run_over_rest(async |stack| {
        let hold = stack.github.hold("/pulls$");
        stack.chat().queue(stack.lease("first", &["a", "b"]));
        stack.chat().queue(stack.lease("second", &["c", "d"]));
        stack.start_worker_with(Settings {
            batch_size: 2,
            ..Settings::default()
        });
        hold.waiting(4).await;
        hold.release();
        stack.released("first").await;
        stack.released("second").await;
    })
    .await;
}

#[tokio::test]
async fn a_worker_with_its_hands_full_leases_nothing() {
    Stack::run_over_rest(async |stack| {
        let hold = stack.github.hold("/pulls$");
        for (token, branches) in [("1", ["a", "b"]), ("2", ["c", "d"]), ("3", ["e", "f"])] {
            stack.chat().queue(stack.lease(token, &branches));
        }
        stack.start_worker_with_slots(
            Settings {
                batch_size: 2,
                ..Settings::default()
            },
            2,
        );
        hold.waiting(2).await;
        hold.release();
        stack.released("3").await;
        let order = stack.chat().order();
        assert_eq!(order[..3], ["lease", "lease", "report"], "{order:?}");
    })
    .await;
}

#[tokio::test]
async fn keys_with_full_batches_use_every_slot_of_the_worker() {
    Stack::run(async |stack| {
        let hold = stack.github.hold(Matching::graphql());
        let leases = ["1", "2", "3", "4"];
        for token in leases {
            let branches = ["a", "b"].map(|branch| format!("{branch}{token}"));
            let branches = branches.each_ref().map(String::as_str);
            stack.chat().queue(stack.lease(token, &branches));
        }
        // Two of them are a batch already.
        stack.start_worker_with_slots(
            Settings {
                batch_size: 2,
                ..Settings::default()
            },
            3,
        );
        hold.waiting(3).await;
        hold.release();
        for token in leases {
            stack.released(token).await;
        }
        let order = stack.chat().order();
        assert_eq!(
            order[..4],
            ["lease", "lease", "lease", "report"],
            "{order:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn one_slow_key_does_not_block_other_keys() {
    Stack::run(async |stack| {
        let branches: Vec<_> = (0..BATCH_SIZE).map(|i| format!("slow-{i}")).collect();
        let branches: Vec<_> = branches.iter().map(String::as_str).collect();
        let hold = stack.github.hold(Matching::any().by("ann"));
        let bob = stack.github.user("bob");
        stack.github.repository("acme/web").grant(&bob);
        let mut quick = stack.lease("quick", &["quick"]);
        quick.groups[0].credential = Some(Stack::credential("quick", &bob.token()));
        stack.chat().queue(stack.lease("slow", &branches));
        stack.start_worker();
        hold.waiting(1).await;
        stack.chat().queue(quick);
        stack.released("quick").await;
        assert!(!stack.chat().is_released("slow"));
    })
    .await;
}

/// Nor does it when the worker's own token was replaced between two tries.
#[tokio::test]
async fn a_lost_lease_answer_is_asked_for_again_and_strands_nothing() {
    for failure in [Failure::Away, Failure::Unauthenticated] {
        Stack::run(async |stack| {
            stack.chat().fail("lease", &[Failure::LoseAnswer, failure]);
            stack.chat().queue(stack.lease("lease", &["a"]));
            stack.start_worker();
            stack.applied("a").await;
            let calls = stack.chat().calls("lease");
            assert_eq!(calls[0].request_id, calls[1].request_id, "{failure:?}");
            assert_eq!(calls[0].request_id, calls[2].request_id, "{failure:?}");
            stack.released("lease").await;
            let next = until("the next call", || async {
                stack.chat().calls("lease").get(3).cloned().ok_or("none")
            })
            .await;
            assert_ne!(next.request_id, calls[0].request_id);
        })
        .await;
    }
}

/// Promise 5.
#[tokio::test]
async fn a_lost_report_answer_is_repeated_with_the_same_id_and_applied_once() {
    Stack::run(async |stack| {
        stack.chat().fail(
            "report",
            &[Failure::LoseAnswer, Failure::Away, Failure::LoseAnswer],
        );
        stack.chat().queue(stack.lease("lease", &["a"]));
        stack.start_worker();
        let calls = until("the report is repeated", || async {
            let calls = stack.chat().calls("report");
            if calls.len() == 4 {
                Ok(calls)
            } else {
                Err(calls)
            }
        })
        .await;
        assert!(
            calls
                .iter()
                .all(|call| call.request_id == calls[0].request_id)
        );
        assert_eq!(stack.chat().reports().len(), 1);
        until("the lease is finished", || async {
            let accepted = format!(
                "gitsync_outcomes_total{{host=\"{}\",result=\"no_pull_request\",class=\"none\"}} 1",
                stack.github.api_base_url()
            );
            stack.metric(&accepted).then_some(()).ok_or(accepted)
        })
        .await;
        assert!(stack.metric("gitsync_leases_lost_total 0"));
    })
    .await;
}

#[tokio::test]
async fn a_lease_is_renewed_for_as_long_as_it_is_worked_on() {
    Stack::run_over_rest(async |stack| {
        let hold = stack.github.hold("/pulls$");
        let lease = short_lived(stack.lease("lease", &["a"]), Duration::from_millis(900));
        stack.chat().queue(lease);
        // One renewal that is not answered in time is tried again.
        stack.chat().fail("renew", &[Failure::Away]);
        stack.start_worker();
        until("the lease outlived itself", || async {
            let renewals = stack.chat().calls("renew").len();
            if renewals >= 6 { Ok(()) } else { Err(renewals) }
        })
        .await;
        hold.release();
        stack.released("lease").await;
        assert!(stack.metric("gitsync_leases_lost_total 0"));
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_is_taken_away_ends_its_work_and_writes_nothing() {
    Stack::run_over_rest(async |stack| {
        let hold = stack
            .github
            .hold(Matching::path("/pulls$").query("head", "acme:a"));
        let lease = short_lived(stack.lease("lost", &["a"]), Duration::from_millis(900));
        stack.chat().queue(lease);
        stack.start_worker();
        hold.waiting(1).await;
        stack.chat().take_away("lost");
        // Its request is taken back from the host.
        hold.empty().await;
        until("the loss is counted", || async {
            stack
                .metric("gitsync_leases_lost_total 1")
                .then_some(())
                .ok_or("not yet")
        })
        .await;
        // The worker goes on.
        stack.chat().queue(stack.lease("next", &["b"]));
        stack.released("next").await;
        let outcomes = stack.chat().outcomes();
        assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["b"]);
    })
    .await;
}

/// Promise 4.
#[tokio::test]
async fn a_lease_that_cannot_be_renewed_is_lost_by_the_workers_own_clock() {
    Stack::run_over_rest(async |stack| {
        let hold = stack.github.hold("/pulls$");
        let lease = short_lived(stack.lease("stalled", &["a"]), Duration::from_millis(600));
        stack.chat().fail("renew", &[Failure::Hang; 8]);
        stack.chat().queue(lease);
        stack.start_worker();
        hold.waiting(1).await;
        hold.empty().await;
        until("the loss is counted", || async {
            stack
                .metric("gitsync_leases_lost_total 1")
                .then_some(())
                .ok_or("not yet")
        })
        .await;
        hold.release();
        assert!(stack.chat().calls("report").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_report_that_is_too_late_is_refused_and_not_repeated() {
    Stack::run(async |stack| {
        stack.chat().fail("report", &[Failure::LeaseLost]);
        stack.chat().queue(stack.lease("lost", &["a"]));
        stack.start_worker();
        until("the loss is counted", || async {
            stack
                .metric("gitsync_leases_lost_total 1")
                .then_some(())
                .ok_or("not yet")
        })
        .await;
        assert_eq!(stack.chat().calls("report").len(), 1);
        assert!(stack.chat().outcomes().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_attempt_has_its_own_deadline_and_what_finished_is_reported() {
    Stack::run_over_rest(async |stack| {
        stack.github.pull_request("acme/web").head("done").open();
        let hold = stack
            .github
            .hold(Matching::path("/pulls$").query("head", "acme:slow"));
        stack.chat().queue(stack.lease("lease", &["done", "slow"]));
        stack.start_worker_with(Settings {
            tick_timeout: Duration::from_millis(500),
            ..Settings::default()
        });
        let slow = stack.applied("slow").await;
        assert_eq!(class(&slow), pb::ProblemClass::HostUnavailable);
        let done = stack.applied("done").await;
        assert!(matches!(done.result, Some(pb::outcome::Result::Found(_))));
        stack.released("lease").await;
        hold.empty().await;
    })
    .await;
}

#[tokio::test]
async fn a_report_is_not_bounded_by_the_deadline_of_the_attempt() {
    Stack::run(async |stack| {
        let tick_timeout = Duration::from_millis(50);
        // Four tries take longer than the attempt may.
        stack.chat().fail("report", &[Failure::Away; 4]);
        stack.github.pull_request("acme/web").head("a").open();
        stack.chat().queue(stack.lease("lease", &["a"]));
        let begun = tokio::time::Instant::now();
        stack.start_worker_with(Settings {
            tick_timeout,
            ..Settings::default()
        });
        stack.applied("a").await;
        assert!(begun.elapsed() > tick_timeout);
        assert_eq!(stack.chat().calls("report").len(), 5);
    })
    .await;
}

#[tokio::test]
async fn an_owner_without_an_account_is_reported_and_the_host_is_not_asked() {
    Stack::run(async |stack| {
        let mut lease = stack.lease("lease", &["a"]);
        lease.groups[0].credential = None;
        stack.chat().queue(lease);
        stack.start_worker();
        let outcome = stack.applied("a").await;
        assert_eq!(class(&outcome), pb::ProblemClass::NoAccount);
        assert!(outcome.next_refresh_in.unwrap().seconds >= 600);
        assert!(stack.github.requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_rate_limit_is_reported_with_the_pause_of_its_budget() {
    Stack::run(async |stack| {
        stack
            .github
            .fault(Matching::graphql())
            .respond(Fault::SecondaryLimit {
                status: 403,
                retry_after: Some(90),
            });
        stack.chat().queue(stack.lease("lease", &["a"]));
        stack.start_worker();
        stack.released("lease").await;
        assert!(stack.chat().outcomes().is_empty());
        // With the lease, so that it cannot be leased before.
        let reports = stack.chat().reports();
        let [report] = reports.as_slice() else {
            panic!("{reports:?}");
        };
        assert!(report.release_lease);
        let budget = report.budget.clone().unwrap();
        let pause = budget.pause.unwrap();
        assert_eq!(pause.class(), pb::ProblemClass::SecondaryLimited);
        assert_eq!(pause.from_lane(), pb::Lane::Interactive);
        // Counted from when the host asked for it.
        assert!(pause.duration.unwrap().seconds >= 80);
        assert_eq!(budget.secondary_refusals, 1);
    })
    .await;
}

#[tokio::test]
async fn a_new_token_in_the_file_is_used_when_the_old_one_is_refused() {
    Stack::run(async |stack| {
        stack.chat().accept_only("new-token");
        stack.chat().queue(stack.lease("lease", &["a"]));
        stack.start_worker();
        until("the old token is refused", || async {
            (!stack.chat().calls("lease").is_empty())
                .then_some(())
                .ok_or("no call yet")
        })
        .await;
        std::fs::write(&stack.token_file, "new-token").unwrap();
        stack.applied("a").await;
    })
    .await;
}

#[tokio::test]
async fn answers_that_come_too_early_are_no_loop_without_a_pause() {
    Stack::run(async |stack| {
        stack.chat().answer_early();
        let begun = tokio::time::Instant::now();
        stack.start_worker();
        until("a few calls", || async {
            let calls = stack.chat().calls("lease").len();
            if calls >= 4 { Ok(()) } else { Err(calls) }
        })
        .await;
        // The first does not wait, and the pause is half a second.
        assert!(
            begun.elapsed() >= Duration::from_secs(1),
            "{:?}",
            begun.elapsed()
        );
    })
    .await;
}

#[tokio::test]
async fn a_refused_token_is_reported_with_the_time_to_try_it_once_more() {
    Stack::run(async |stack| {
        stack.github.revoke(&stack.token);
        stack.chat().queue(stack.lease("lease", &["a", "b"]));
        stack.start_worker();
        stack.released("lease").await;
        assert!(stack.chat().outcomes().is_empty());
        let reports = stack.chat().reports();
        let [seen] = reports[0].credentials.as_slice() else {
            panic!("{:?}", reports[0].credentials);
        };
        assert_eq!(seen.credential_id, ref_id("lease").to_string());
        assert_eq!(seen.generation, FENCE.generation);
        assert!(seen.refused);
        assert_eq!(stack.github.requests().len(), 1);
    })
    .await;
}
