//! Windows and pauses: reports cross, and the most careful of them holds.

use proto::chat::v1;

use super::{observe, told};
use crate::{
    stack::Stack,
    worker::{Leased, Owner, Worker, make_all_due, report, seconds},
};

fn window(remaining: i64, reset: u64) -> v1::BudgetWindow {
    v1::BudgetWindow {
        limit: Some(5000),
        remaining: Some(remaining),
        reset_in: Some(seconds(reset)),
        pause_for: None,
    }
}

fn of_graphql(window: v1::BudgetWindow) -> v1::BudgetObservation {
    v1::BudgetObservation {
        graphql: Some(window),
        ..v1::BudgetObservation::default()
    }
}

fn of_rest(window: v1::BudgetWindow) -> v1::BudgetObservation {
    v1::BudgetObservation {
        rest: Some(window),
        ..v1::BudgetObservation::default()
    }
}

#[tokio::test]
async fn a_window_is_new_only_when_it_resets_later_and_else_the_least_is_left() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        for (observed, left) in [
            (window(4000, 1800), 4000),
            // The same window, whatever a clock says.
            (window(3900, 1840), 3900),
            // Reports cross.
            (window(3950, 1800), 3900),
            // Of a window that is over.
            (window(10, 600), 3900),
            // A new one.
            (window(4999, 3600), 4999),
        ] {
            observe(stack, &worker, of_graphql(observed)).await;
            let view = told(stack, &worker).await;
            assert_eq!(view.graphql.unwrap().remaining, Some(left), "{observed:?}");
            assert_eq!(view.rest, Some(v1::BudgetWindow::default()));
        }
        // The interfaces have windows of their own.
        observe(stack, &worker, of_rest(window(17, 3600))).await;
        let view = told(stack, &worker).await;
        assert_eq!(view.rest.unwrap().remaining, Some(17));
        assert_eq!(view.graphql.unwrap().remaining, Some(4999));

        // A window that is over tells only its limit.
        stack
            .database
            .client()
            .await
            .batch_execute("UPDATE git_budgets SET graphql_reset_at = now() - interval '1 s'")
            .await
            .unwrap();
        let graphql = told(stack, &worker).await.graphql.unwrap();
        assert_eq!((graphql.limit, graphql.remaining), (Some(5000), None));
        assert_eq!(graphql.reset_in, None);
    })
    .await;
}

/// What is left of it would never be known to be back.
#[tokio::test]
async fn a_window_without_an_end_tells_only_its_limit() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let endless = v1::BudgetWindow {
            reset_in: None,
            ..window(0, 0)
        };
        observe(stack, &worker, of_rest(endless)).await;
        observe(stack, &worker, of_graphql(endless)).await;
        let view = told(stack, &worker).await;
        for window in [view.rest.unwrap(), view.graphql.unwrap()] {
            assert_eq!((window.limit, window.remaining), (Some(5000), None));
        }
    })
    .await;
}

#[tokio::test]
async fn a_budget_whose_graphql_is_paused_is_leased_with_that_pause() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let paused = v1::BudgetWindow {
            pause_for: Some(seconds(600)),
            ..window(0, 600)
        };
        observe(stack, &worker, of_graphql(paused)).await;
        let left = |view: v1::BudgetView| view.graphql.unwrap().pause_for.unwrap().seconds;
        assert!(left(told(stack, &worker).await) > 590);
        // Neither a good answer nor a shorter pause nor a report ends it.
        observe(stack, &worker, of_graphql(window(5000, 3600))).await;
        let shorter = v1::BudgetWindow {
            pause_for: Some(seconds(1)),
            ..v1::BudgetWindow::default()
        };
        observe(stack, &worker, of_graphql(shorter)).await;
        owner.report(&chat.id, "feat/y").await;
        let view = told(stack, &worker).await;
        assert_eq!(view.rest.unwrap().pause_for, None);
        assert!(left(view) > 580);
    })
    .await;
}

#[tokio::test]
async fn a_budget_with_both_interfaces_paused_is_not_leased_until_one_may_be_used() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let paused = |pause| v1::BudgetWindow {
            pause_for: Some(seconds(pause)),
            ..v1::BudgetWindow::default()
        };
        observe(
            stack,
            &worker,
            v1::BudgetObservation {
                rest: Some(paused(60)),
                graphql: Some(paused(600)),
                ..v1::BudgetObservation::default()
            },
        )
        .await;
        make_all_due(stack).await;
        assert!(worker.lease().await.is_empty());
        stack
            .database
            .client()
            .await
            .batch_execute(
                "UPDATE git_budgets SET paused_until = paused_until - interval '60 s',
                    rest_paused_until = rest_paused_until - interval '60 s'",
            )
            .await
            .unwrap();
        let lease = worker.lease_one().await;
        let view = lease.0.budget.unwrap();
        assert_eq!(view.rest.unwrap().pause_for, None);
        assert!(view.graphql.unwrap().pause_for.is_some());
    })
    .await;
}

/// Promise 7.
#[tokio::test]
async fn a_budget_key_gets_at_most_one_rate_limit_answer_and_nothing_before_its_pause_ends() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        owner.chat("feat/y").await;
        let (worker, other) = (Worker::of(stack), Worker::of(stack));
        let lease = worker.lease_one().await;
        let mut limited = report(&lease.0.lease_token, Vec::new());
        limited.budget = Some(v1::BudgetObservation {
            pause_for: Some(seconds(600)),
            ..v1::BudgetObservation::default()
        });
        limited.release_lease = false;
        worker.try_report(limited).await.unwrap();
        // A good answer that crossed it, a new report, a view of it, another token: nothing ends it.
        let mut good = report(&lease.0.lease_token, Vec::new());
        good.budget = Some(of_rest(window(4999, 3600)));
        worker.try_report(good).await.unwrap();
        owner.report(&chat.id, "feat/z").await;
        owner.link("ghp_other").await;
        make_all_due(stack).await;
        for worker in [&worker, &other] {
            let leases: Vec<Leased> = worker.lease().await.into_iter().map(Leased).collect();
            assert!(leases.is_empty(), "{:?}", leases[0].ids());
        }
    })
    .await;
}
