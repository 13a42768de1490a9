//! Windows and pauses: reports cross, and the most careful of them holds.

use proto::chat::v1::{self, ProblemClass};

use super::{next_view, observe};
use crate::{
    stack::Stack,
    worker::{
        Owner, Worker, limited, make_all_due, pause, report, run, seconds, settle_all, value,
    },
};

fn window(name: &str, remaining: i64, reset: u64) -> v1::Window {
    v1::Window {
        name: name.to_owned(),
        limit: Some(5000),
        remaining: Some(remaining),
        reset_in: Some(seconds(reset)),
        ..v1::Window::default()
    }
}

fn of(windows: &[v1::Window]) -> v1::BudgetObservation {
    v1::BudgetObservation {
        windows: windows.to_vec(),
        ..v1::BudgetObservation::default()
    }
}

/// A window of the view; nothing but its name where it is not known.
fn named(view: &v1::BudgetView, name: &str) -> v1::Window {
    let known = view.windows.iter().find(|window| window.name == name);
    known.cloned().unwrap_or_else(|| v1::Window {
        name: name.to_owned(),
        ..v1::Window::default()
    })
}

#[tokio::test]
async fn a_window_is_new_only_when_it_resets_later_and_else_the_least_is_left() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        for (remaining, reset, left) in [
            (4000, 1800, 4000),
            // The same window, whatever a clock says.
            (3900, 1840, 3900),
            // Reports cross.
            (3950, 1800, 3900),
            // Of a window that is over.
            (10, 600, 3900),
            // A new one.
            (4999, 3600, 4999),
        ] {
            observe(stack, &worker, of(&[window("graphql", remaining, reset)])).await;
            let view = next_view(stack, &worker).await;
            assert_eq!(
                named(&view, "graphql").remaining,
                Some(left),
                "{remaining} until {reset}"
            );
        }
        // Each has its own.
        observe(stack, &worker, of(&[window("core", 17, 3600)])).await;
        let view = next_view(stack, &worker).await;
        assert_eq!(named(&view, "core").remaining, Some(17));
        assert_eq!(named(&view, "graphql").remaining, Some(4999));

        // A window that is over tells only its limit.
        run(
            stack,
            "UPDATE git_budgets SET windows = (
                SELECT jsonb_agg(w || jsonb_build_object('reset_at', now() - interval '1 s'))
                FROM jsonb_array_elements(windows) AS w
             )",
        )
        .await;
        let graphql = named(&next_view(stack, &worker).await, "graphql");
        assert_eq!((graphql.limit, graphql.remaining), (Some(5000), None));
        assert_eq!(graphql.reset_in, None);
    })
    .await;
}

/// Secondary windows of other hosts are a minute long: half of one is no new one.
#[tokio::test]
async fn how_much_later_a_new_window_resets_goes_by_its_length() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        for (remaining, reset, left) in [(5, 20, 5), (9, 40, 5), (9, 58, 9)] {
            let observed = v1::Window {
                length: Some(seconds(60)),
                ..window("minute", remaining, reset)
            };
            observe(stack, &worker, of(&[observed])).await;
            let minute = named(&next_view(stack, &worker).await, "minute");
            assert_eq!(minute.remaining, Some(left), "{remaining} until {reset}");
            assert_eq!(minute.length.unwrap().seconds, 60);
        }
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
        let endless = v1::Window {
            reset_in: None,
            ..window("core", 0, 0)
        };
        for _ in 0..2 {
            observe(stack, &worker, of(std::slice::from_ref(&endless))).await;
            let core = named(&next_view(stack, &worker).await, "core");
            assert_eq!((core.limit, core.remaining), (Some(5000), None));
        }
    })
    .await;
}

#[tokio::test]
async fn a_budget_with_a_paused_window_is_leased_with_that_pause() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let paused = |pause, window| v1::Window {
            pause_for: Some(seconds(pause)),
            ..window
        };
        observe(
            stack,
            &worker,
            of(&[paused(600, window("graphql", 0, 600))]),
        )
        .await;
        let left = |view: &v1::BudgetView| named(view, "graphql").pause_for.unwrap().seconds;
        assert!(left(&next_view(stack, &worker).await) > 590);
        // Neither a good answer nor a shorter pause nor a report ends it.
        let good = window("graphql", 5000, 3600);
        observe(stack, &worker, of(std::slice::from_ref(&good))).await;
        observe(stack, &worker, of(&[paused(1, good)])).await;
        owner.report(&chat.id, "feat/y").await;
        let view = next_view(stack, &worker).await;
        assert_eq!(named(&view, "core").pause_for, None);
        assert!(left(&view) > 580);
    })
    .await;
}

/// Only the worker knows which windows stand in for one another.
#[tokio::test]
async fn a_budget_is_paused_as_a_whole_when_the_worker_says_so_with_its_class() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        observe(stack, &worker, limited()).await;
        let longer = v1::BudgetObservation {
            pause: Some(pause(900, ProblemClass::SecondaryLimited)),
            ..v1::BudgetObservation::default()
        };
        for (observed, class, left) in [
            (None, ProblemClass::RateLimited, 590.0..=600.0),
            (Some(longer), ProblemClass::SecondaryLimited, 890.0..=900.0),
        ] {
            if let Some(observed) = observed {
                run(
                    stack,
                    "UPDATE git_budgets SET paused_until = paused_until - interval '1 s',
                        pause_lane = 2",
                )
                .await;
                run(
                    stack,
                    "UPDATE git_ref_polls SET lane = 1, due_at = now(), early_at = now()",
                )
                .await;
                settle_all(stack).await;
                let lease = worker.lease_one().await;
                let mut again = report(&lease.0.lease_token, Vec::new());
                again.budget = Some(observed);
                worker.try_report(again).await.unwrap();
            }
            make_all_due(stack).await;
            assert!(worker.lease().await.is_empty());
            let status = owner.status(&chat.id).await;
            assert_eq!(status.freshness(), v1::Freshness::Paused);
            assert_eq!(status.problem.unwrap().class(), class);
            let seconds: f64 = value(
                stack,
                "SELECT extract(epoch FROM paused_until - now())::float8 FROM git_budgets",
            )
            .await;
            assert!(left.contains(&seconds), "{seconds}");
        }
    })
    .await;
}

/// Promise 7.
#[tokio::test]
async fn a_budget_gets_at_most_one_rate_limit_answer_and_nothing_before_its_pause_ends() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        owner.chat("feat/y").await;
        let (worker, other) = (Worker::of(stack), Worker::of(stack));
        let lease = worker.lease_one().await;
        let mut paused = report(&lease.0.lease_token, Vec::new());
        paused.budget = Some(limited());
        paused.release_lease = false;
        worker.try_report(paused).await.unwrap();
        // A good answer that crossed it, a new report, a view of it, another token: nothing ends
        // it.
        let mut good = report(&lease.0.lease_token, Vec::new());
        good.budget = Some(of(&[window("core", 4999, 3600)]));
        worker.try_report(good).await.unwrap();
        owner.report(&chat.id, "feat/z").await;
        owner.link("ghp_other").await;
        make_all_due(stack).await;
        for worker in [&worker, &other] {
            assert!(worker.lease().await.is_empty());
        }
    })
    .await;
}
