//! Keys that wait for time to pass, and the slots that they leave to others.

use std::time::Duration;

use gitsync_service::{
    budget,
    host::github,
    worker::{RefresherSettings, Settings},
};
use proto::chat::v1 as pb;
use testkit::{github::Matching, wait::until};

use crate::stack::Stack;

const SLOTS: usize = 10;
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
        let worker = Settings {
            batch_size: 2,
            drain_timeout: DRAIN_TIMEOUT,
            ..Settings::default()
        };
        let refresher = RefresherSettings {
            concurrency: SLOTS,
            budget: budget::Settings {
                local_ceiling: 1,
                ..budget::Settings::default()
            },
            github: github::Settings {
                graphql: false,
                ..github::Settings::default()
            },
            ..RefresherSettings::default()
        };
        stack.start_worker_as(worker, refresher);
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
