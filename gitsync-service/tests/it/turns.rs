//! What a worker says of the refs that it leaves due, and when it ends its turn early.

use std::time::Duration;

use proto::chat::v1 as pb;
use testkit::{
    github::{Fault, Matching},
    wait::until,
};

use crate::{
    stack::{Stack, short_lived},
    support::ref_id,
    sync_server::Failure,
};

/// The reserve of an account is kept, and its pause does not outlive the next report.
#[tokio::test]
async fn a_rest_is_reported_with_its_lease_and_ends_with_the_next_report() {
    Stack::run(async |stack| {
        let window = |name: &str| pb::Window {
            name: name.to_owned(),
            limit: Some(5000),
            remaining: Some(1500),
            reset_in: Some(prost_types::Duration {
                seconds: 1800,
                nanos: 0,
            }),
            ..pb::Window::default()
        };
        let mut reserved = stack.lease("reserved", &["a"]);
        reserved.budget = Some(pb::BudgetView {
            windows: ["core", "graphql"].map(window).into(),
            ..pb::BudgetView::default()
        });
        stack.chat().queue(reserved);
        stack.chat().queue(stack.lease("ample", &["b"]));
        stack.start_worker();
        for lease in ["reserved", "ample"] {
            stack.released(lease).await;
        }
        let reports = stack.chat().reports();
        let of = |lease: &str| {
            let token = ref_id(lease).to_string();
            let mut reports = reports.iter();
            let report = reports.find(|report| report.lease_token == token).unwrap();
            (report.outcomes.len(), report.budget.clone().unwrap())
        };
        let (outcomes, budget) = of("reserved");
        let rest = budget.rest.unwrap();
        assert_eq!(
            (outcomes, rest.class()),
            (0, pb::ProblemClass::LimitReserved)
        );
        assert_eq!(rest.from_lane(), pb::Lane::Idle);
        assert!((1800..=1870).contains(&rest.duration.unwrap().seconds));
        let (outcomes, budget) = of("ample");
        assert_eq!((outcomes, budget.rest, budget.pause), (1, None, None));
    })
    .await;
}

/// More than two requests ask for.
fn queue_branches(stack: &Stack, lives: Duration) {
    let branches: Vec<_> = (0..50).map(|index| format!("b{index}")).collect();
    let branches: Vec<_> = branches.iter().map(String::as_str).collect();
    let lease = short_lived(stack.lease("lease", &branches), lives);
    stack.chat().queue(lease);
}

#[tokio::test]
async fn a_turn_that_a_person_waits_for_ends_after_the_request_on_the_wire() {
    Stack::run(async |stack| {
        let hold = stack.github.hold(Matching::graphql());
        stack.chat().await_turn();
        queue_branches(stack, Duration::from_millis(900));
        stack.start_worker();
        hold.waiting(1).await;
        until("a renewal is answered", || async {
            let renewals = stack.chat().calls("renew").len();
            // The second comes after the answer to the first.
            if renewals >= 2 { Ok(()) } else { Err(renewals) }
        })
        .await;
        hold.release();
        stack.released("lease").await;
        assert_eq!(stack.chat().outcomes().len(), 20);
        assert_eq!(stack.github.requests().len(), 1);
        assert!(stack.metric("gitsync_leases_lost_total 0"));
    })
    .await;
}

#[tokio::test]
async fn the_answer_to_a_report_ends_a_turn_as_well() {
    Stack::run(async |stack| {
        // By far longer than a report takes, so that the second request is on the wire when it is
        // answered.
        stack.github.latency(Duration::from_secs(1));
        stack.chat().await_turn();
        queue_branches(stack, Duration::from_secs(60));
        stack.start_worker();
        stack.released("lease").await;
        assert_eq!(stack.chat().outcomes().len(), 40);
        assert_eq!(stack.github.requests().len(), 2);
    })
    .await;
}

/// A lease whose one request the host refuses, with a pause that the worker cannot report; the next
/// one of its budget begins once `ended`.
async fn unreported(failure: Failure, ended: impl AsyncFnOnce(&Stack)) {
    Stack::run(async |stack| {
        let of_one_budget = |name: &str| pb::Lease {
            budget_key: "key".to_owned(),
            ..stack.lease(name, &["a"])
        };
        stack
            .github
            .fault(Matching::any())
            .respond(Fault::SecondaryLimit {
                status: 403,
                retry_after: Some(60),
            });
        stack.chat().fail("report", &[failure]);
        stack.chat().queue(of_one_budget("first"));
        stack.start_worker();
        ended(stack).await;
        stack.chat().queue(of_one_budget("next"));
        stack.released("next").await;
        assert_eq!(stack.github.count(Matching::any()), 1);
        let reports = stack.chat().reports();
        let reported = reports.last().unwrap().budget.as_ref().unwrap();
        let pause = reported.pause.as_ref().unwrap();
        assert_eq!(pause.class(), pb::ProblemClass::SecondaryLimited);
    })
    .await;
}

/// The next lease would ask again what the host has just refused.
#[tokio::test]
async fn a_pause_that_a_lost_lease_could_not_report_is_that_of_its_budgets_next_lease() {
    unreported(Failure::LeaseLost, async |stack| {
        until("the loss is counted", || async {
            stack
                .metric("gitsync_leases_lost_total 1")
                .then_some(())
                .ok_or("not yet")
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_pause_whose_report_is_refused_is_that_of_its_budgets_next_lease() {
    unreported(Failure::Refused, async |stack| {
        stack.released("first").await;
    })
    .await;
}
