//! What a budget's state is after the reports of all workers, and what the next lease carries of
//! it.

mod raised;
mod window;

use proto::chat::v1::{self, Lane, ProblemClass};

use crate::{
    stack::{Caller, Stack},
    worker::{
        Leased, Owner, Worker, end_pauses, found, limited, make_all_due, outcome, pause, report,
        run, seconds, value,
    },
};

/// Reports `budget` under a lease of the one budget that is due, and gives the lease back.
pub(super) async fn observe(stack: &Stack, worker: &Worker, budget: v1::BudgetObservation) {
    make_all_due(stack).await;
    let lease = worker.lease_one().await;
    let mut observed = report(&lease.0.lease_token, Vec::new());
    observed.budget = Some(budget);
    worker.try_report(observed).await.unwrap();
}

/// The budget as the next lease shows it.
pub(super) async fn next_view(stack: &Stack, worker: &Worker) -> v1::BudgetView {
    make_all_due(stack).await;
    let lease = worker.lease_one().await;
    worker.release(&lease.0.lease_token).await;
    lease.0.budget.unwrap()
}

#[tokio::test]
async fn a_new_budget_is_described_as_not_known() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let view = Worker::of(stack).lease_one().await.0.budget.unwrap();
        assert_eq!(view, v1::BudgetView::default());
    })
    .await;
}

#[tokio::test]
async fn a_lease_names_the_account_whose_credential_it_is() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let lease = Worker::of(stack).lease_one().await;
        let account: uuid::Uuid = value(stack, "SELECT id FROM git_accounts").await;
        let credential = lease.credential().unwrap();
        assert_eq!(credential.id, account.to_string());
        assert!(!credential.suspect);
    })
    .await;
}

#[tokio::test]
async fn secondary_limits_make_the_budget_cautious_and_count_less_by_the_hour() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let refused = v1::BudgetObservation {
            secondary_refusals: 2,
            pause: Some(pause(600, ProblemClass::SecondaryLimited)),
            ..v1::BudgetObservation::default()
        };
        observe(stack, &worker, refused).await;
        let caution: f64 = value(
            stack,
            "SELECT extract(epoch FROM cautious_until - paused_until)::float8 FROM git_budgets
             WHERE struck_at IS NOT NULL",
        )
        .await;
        assert!((caution - 600.0).abs() < 1.0, "ten minutes after the pause");
        end_pauses(stack).await;

        // A good answer changes nothing.
        let good = v1::BudgetObservation {
            windows: vec![v1::Window {
                name: "core".to_owned(),
                remaining: Some(4000),
                ..v1::Window::default()
            }],
            ..v1::BudgetObservation::default()
        };
        observe(stack, &worker, good).await;
        let view = next_view(stack, &worker).await;
        assert_eq!(view.secondary_strikes, 2);
        assert!(view.cautious_for.unwrap().seconds > 1000);

        for (hours, strikes) in [(1, 1), (2, 0), (5, 0)] {
            run(
                stack,
                &format!(
                    "UPDATE git_budgets SET struck_at = now() - interval '{hours} h 1 s',
                        cautious_until = now()"
                ),
            )
            .await;
            let view = next_view(stack, &worker).await;
            assert_eq!(view.secondary_strikes, strikes, "after {hours} h");
            assert_eq!(view.cautious_for, None);
        }
    })
    .await;
}

#[tokio::test]
async fn demand_is_what_all_refs_of_a_budget_ask_for_and_is_computed_once_a_minute() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        owner.chat("feat/y").await;
        let worker = Worker::of(stack);
        run(
            stack,
            "UPDATE git_ref_polls SET base_interval_seconds = 10;
             UPDATE git_budgets SET demand_at = now() - interval '61 s'",
        )
        .await;
        observe(stack, &worker, v1::BudgetObservation::default()).await;
        let demand = next_view(stack, &worker).await.demand;
        assert!((demand - 0.2).abs() < 0.001, "{demand}");
        run(stack, "UPDATE git_ref_polls SET base_interval_seconds = 1").await;
        observe(stack, &worker, v1::BudgetObservation::default()).await;
        let demand = next_view(stack, &worker).await.demand;
        assert!((demand - 0.2).abs() < 0.001, "{demand}");
    })
    .await;
}

#[tokio::test]
async fn operators_see_the_windows_of_a_budget_its_pause_and_whose_it_is() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let state = async || {
            let state = stack
                .admin(&Caller::user().site("admin"))
                .get_sync_state(v1::GetSyncStateRequest {})
                .await
                .unwrap()
                .into_inner();
            state.budgets.into_iter().next().unwrap()
        };
        let observation = v1::BudgetObservation {
            windows: vec![v1::Window {
                name: "graphql".to_owned(),
                limit: Some(5000),
                remaining: Some(4321),
                reset_in: Some(seconds(600)),
                length: Some(seconds(3600)),
                pause_for: Some(seconds(60)),
            }],
            secondary_refusals: 1,
            ..v1::BudgetObservation::default()
        };
        observe(stack, &worker, observation).await;
        let budget = state().await;
        let [graphql] = &budget.windows[..] else {
            panic!("{:?}", budget.windows);
        };
        assert_eq!(graphql.name, "graphql");
        assert_eq!((graphql.limit, graphql.remaining), (Some(5000), Some(4321)));
        assert!(graphql.reset_in.is_some() && graphql.pause_for.is_some());
        assert_eq!(budget.secondary_strikes, 1);
        assert_eq!(budget.pause, None, "the other windows may still be spent");
        assert!(!budget.account_known);

        observe(stack, &worker, limited()).await;
        let paused = state().await.pause.unwrap();
        assert_eq!(paused.class(), ProblemClass::RateLimited);
        assert!(paused.duration.unwrap().seconds > 590);
    })
    .await;
}

/// A worker keeps a reserve of the limit for those who wait.
#[tokio::test]
async fn a_rest_from_a_lane_on_spares_more_urgent_refs_and_is_shown_with_its_class() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let viewed = owner.chat("feat/viewed").await;
        let active = owner.chat("feat/active").await;
        run(
            stack,
            &format!(
                "UPDATE git_ref_polls p SET lane = 2 FROM git_refs r
                 WHERE r.id = p.ref_id AND r.chat_id = '{}'",
                viewed.id
            ),
        )
        .await;
        let worker = Worker::of(stack);
        let reserve = v1::Pause {
            from_lane: Lane::Active.into(),
            ..pause(300, ProblemClass::LimitReserved)
        };
        let rest = v1::BudgetObservation {
            rest: Some(reserve),
            ..v1::BudgetObservation::default()
        };
        observe(stack, &worker, rest).await;
        assert_eq!(owner.status(&viewed.id).await.problem, None);
        let status = owner.status(&active.id).await;
        let problem = status.problem.clone().unwrap();
        assert_eq!(problem.class(), ProblemClass::LimitReserved);
        assert_eq!(status.freshness(), v1::Freshness::Paused);
        let lease = worker.lease_one().await;
        assert_eq!(lease.branches(), ["feat/viewed"]);

        // The report of what the rest lets pass says nothing of the others.
        observe_under(&worker, &lease, v1::BudgetObservation::default()).await;
        let status = owner.status(&active.id).await;
        assert_eq!(status.problem.unwrap().class(), ProblemClass::LimitReserved);
        make_all_due(stack).await;
        let lease = worker.lease_one().await;
        assert_eq!(lease.branches(), ["feat/viewed"]);

        // Another rest replaces it.
        let short = v1::BudgetObservation {
            rest: Some(pause(0, ProblemClass::HostUnavailable)),
            ..v1::BudgetObservation::default()
        };
        observe_under(&worker, &lease, short).await;
        assert_eq!(owner.status(&active.id).await.problem, None);
        make_all_due(stack).await;
        assert_eq!(worker.lease_one().await.refs().len(), 2);
    })
    .await;
}

/// Reports `budget` under a lease, and gives that back.
async fn observe_under(worker: &Worker, lease: &Leased, budget: v1::BudgetObservation) {
    let mut observed = report(&lease.0.lease_token, Vec::new());
    observed.budget = Some(budget);
    worker.try_report(observed).await.unwrap();
}

#[tokio::test]
async fn a_budget_that_gives_back_due_refs_without_a_reason_rests_for_a_second() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        worker.release(&lease.0.lease_token).await;
        let rest: f64 = value(
            stack,
            "SELECT extract(epoch FROM queue_at - now())::float8 FROM git_budgets",
        )
        .await;
        assert!((0.5..=1.0).contains(&rest), "{rest} s");
        let leases = worker.wait_for_lease().await;
        assert_eq!(leases.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_push_does_not_end_the_rest_after_a_turn_that_gave_back_due_refs_and_a_person_does() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        worker.release(&lease.0.lease_token).await;
        // The test takes its time.
        run(
            stack,
            "UPDATE git_budgets SET queue_at = now() + interval '1 h'",
        )
        .await;
        owner.chat("feat/y").await;
        assert!(worker.lease().await.is_empty());
        let request = v1::RefreshChatRequest {
            chat_id: chat.id.clone(),
        };
        let mut request = tonic::Request::new(request);
        request.set_timeout(std::time::Duration::from_secs(2));
        let mut chats = stack.chats(&owner.caller);
        let (_, leases) = tokio::join!(chats.refresh_chat(request), worker.wait_for_lease());
        assert_eq!(leases.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_rest_that_is_over_puts_off_nothing_that_is_planned_later() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        worker.release(&lease.0.lease_token).await;
        run(
            stack,
            "UPDATE git_budgets SET queue_at = now() - interval '1 s'",
        )
        .await;
        let lease = worker.lease_one().await;
        let outcomes = vec![outcome(lease.git_ref(), found())];
        worker.finish(&lease, outcomes).await;
        owner.chat("feat/y").await;
        assert_eq!(worker.lease_one().await.branches(), ["feat/y"]);
    })
    .await;
}
