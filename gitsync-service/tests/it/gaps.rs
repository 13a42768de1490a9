//! Keys that wait for time to pass, and the slots that they leave to others.

use std::time::Duration;

use gitsync_service::{pace, refresh::Refresher, worker::Worker};
use proto::chat::v1 as pb;
use testkit::{github::Matching, wait::until};

use crate::stack::Stack;

const SLOTS: usize = 10;
/// Longer than any test.
const GAP: Duration = Duration::from_secs(3600);
/// The slow keys are still waiting when the test ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// As many leases with full batches as the worker has slots.
fn queue_slow(stack: &Stack, budget: &pb::BudgetView) {
    for index in 0..SLOTS {
        let branches = ["a", "b"].map(|branch| format!("{branch}{index}"));
        let branches = branches.each_ref().map(String::as_str);
        let mut slow = stack.lease(&format!("slow {index}"), &branches);
        slow.budget = Some(budget.clone());
        stack.chat().queue(slow);
    }
}

/// Another user's, where all the others are one user's.
fn queue_quick(stack: &Stack) {
    let bob = stack.github.user("bob");
    stack.github.repository("acme/web").grant(&bob);
    let mut quick = stack.lease("quick", &["quick", "quicker"]);
    quick.groups[0].credential = Some(Stack::credential("quick", &bob.token()));
    stack.chat().queue(quick);
}

async fn until_leased(stack: &Stack, leases: usize) {
    until("the slow keys are leased", || async {
        let calls = stack.chat().calls("lease").len();
        if calls >= leases { Ok(()) } else { Err(calls) }
    })
    .await;
}

#[tokio::test]
async fn ten_keys_in_a_gap_do_not_block_another_key() {
    Stack::run(async |stack| {
        // Each has more than one request to send, and a gap before the second.
        let cautious = pb::BudgetView {
            cautious_for: Some(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            }),
            ..pb::BudgetView::default()
        };
        queue_slow(stack, &cautious);
        let pace = pace::Settings {
            cautious_gap: GAP,
            discover_batch: 2,
            ..pace::Settings::default()
        };
        let paced = Refresher::builder().concurrency(SLOTS).pace(pace);
        stack.start_worker_as(
            Worker::builder().batch_size(2).drain_timeout(DRAIN_TIMEOUT),
            paced,
        );
        until_leased(stack, SLOTS).await;
        queue_quick(stack);
        stack.released("quick").await;
        assert!(!stack.chat().is_released("slow 0"));
        let asked = stack.github.count(Matching::any().by("ann"));
        assert!(asked <= SLOTS, "each has asked once: {asked}");
    })
    .await;
}

/// Over REST, where several requests of a lease wait beside each other.
#[tokio::test]
async fn ten_keys_at_the_ceiling_do_not_block_another_key() {
    Stack::run(async |stack| {
        stack.github.set_rate_limits(false);
        let known = pb::BudgetView {
            account_known: true,
            ..pb::BudgetView::default()
        };
        queue_slow(stack, &known);
        let pace = pace::Settings {
            local_ceiling: 1,
            ..pace::Settings::default()
        };
        let over_rest = Refresher::builder().concurrency(SLOTS).graphql(false);
        stack.start_worker_as(
            Worker::builder().batch_size(2).drain_timeout(DRAIN_TIMEOUT),
            over_rest.pace(pace),
        );
        until_leased(stack, SLOTS).await;
        queue_quick(stack);
        // It has the ceiling of its own.
        until("the other key has its turn", || async {
            let asked = stack.github.count(Matching::any().by("bob"));
            if asked == 1 { Ok(()) } else { Err(asked) }
        })
        .await;
    })
    .await;
}
