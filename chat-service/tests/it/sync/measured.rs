//! What is measured of lookups: how late they are, whose leases ran out, and what is due and could
//! be leased.

use proto::chat::v1::GetSyncStateRequest;

use super::fairness::tenant;
use crate::{
    stack::{Caller, Stack},
    worker::{Worker, expire_leases, outcome, run, unchanged},
};

/// What was given back comes last: here it is its turn at once.
const READY: &str = "UPDATE git_budgets SET queue_at = now()";

#[tokio::test]
async fn an_outcome_is_as_late_as_the_ref_was_due_by_the_lane_in_which_it_was() {
    Stack::run(async |stack| {
        tenant(stack, 1, 2, 90).await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let outcomes = vec![outcome(lease.git_ref(), unchanged())];
        worker.finish(&lease, outcomes).await;
        let late = "chat_refresh_lateness_seconds";
        let of = |part| format!("{late}_{part}{{lane=\"viewed\"}}");
        let seconds: f64 = stack.metric(&of("sum")).await;
        assert!((90.0..110.0).contains(&seconds), "{seconds}");
        assert_eq!(stack.metric::<u64>(&of("count")).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_ran_out_is_counted_when_its_budget_is_leased_again_and_one_given_back_is_not()
{
    Stack::run(async |stack| {
        const EXPIRED: &str = "chat_leases_expired_total";
        tenant(stack, 1, 3, 90).await;
        let worker = Worker::of(stack);
        worker.lease_one().await;
        assert_eq!(stack.metric::<u64>(EXPIRED).await, 0);
        expire_leases(stack).await;
        let lease = worker.lease_one().await;
        assert_eq!(stack.metric::<u64>(EXPIRED).await, 1);
        worker.release(&lease.0.lease_token).await;
        run(stack, READY).await;
        worker.lease_one().await;
        assert_eq!(stack.metric::<u64>(EXPIRED).await, 1);
    })
    .await;
}

/// How many refs are due, and how many of them overdue.
async fn due(stack: &Stack) -> (i64, i64) {
    let mut admin = stack.admin(&Caller::user().site("admin"));
    let state = admin.get_sync_state(GetSyncStateRequest::default()).await;
    let lanes = state.unwrap().into_inner().lanes;
    let sum = |of: fn(&proto::chat::v1::LaneState) -> i64| lanes.iter().map(of).sum();
    (sum(|lane| lane.due), sum(|lane| lane.overdue))
}

#[tokio::test]
async fn only_what_could_be_leased_now_is_overdue() {
    Stack::run(async |stack| {
        tenant(stack, 1, 4, 300).await;
        assert_eq!(due(stack).await, (1, 1));
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        assert_eq!(due(stack).await, (1, 0), "it is leased");
        worker.release(&lease.0.lease_token).await;
        run(stack, READY).await;
        assert_eq!(due(stack).await, (1, 1));
        for kept in [4, 3] {
            let pause = format!(
                "UPDATE git_budgets SET paused_until = now() + interval '1 h',
                    pause_class = 'rate_limited', pause_lane = {kept}"
            );
            run(stack, &pause).await;
            assert_eq!(due(stack).await, (1, 0), "paused from lane {kept} on");
        }
        run(stack, "UPDATE git_budgets SET paused_until = now()").await;
        assert_eq!(due(stack).await, (1, 1), "the pause is over");
        run(
            stack,
            "UPDATE git_budgets SET queue_at = now() + interval '1 h'",
        )
        .await;
        assert_eq!(due(stack).await, (1, 0), "its place in the queue is later");
    })
    .await;
}
