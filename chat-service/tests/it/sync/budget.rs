//! What all workers' reports together say of a budget key, and what the next lease is told of it.

mod carried;
mod window;

use proto::chat::v1;

use crate::{
    stack::{Caller, Stack},
    worker::{Owner, Worker, make_all_due, report, seconds, value},
};

/// Reports `budget` under a lease of the one key that is due, and gives the lease back.
pub(super) async fn observe(stack: &Stack, worker: &Worker, budget: v1::BudgetObservation) {
    make_all_due(stack).await;
    let lease = worker.lease_one().await;
    let mut observed = report(&lease.0.lease_token, Vec::new());
    observed.budget = Some(budget);
    worker.try_report(observed).await.unwrap();
}

/// What the next lease is told.
pub(super) async fn told(stack: &Stack, worker: &Worker) -> v1::BudgetView {
    make_all_due(stack).await;
    let lease = worker.lease_one().await;
    worker.release(&lease.0.lease_token).await;
    lease.0.budget.unwrap()
}

#[tokio::test]
async fn a_new_budget_key_is_described_as_not_known() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let view = Worker::of(stack).lease_one().await.0.budget.unwrap();
        assert_eq!(view.rest, Some(v1::BudgetWindow::default()));
        assert_eq!(view.graphql, Some(v1::BudgetWindow::default()));
        assert_eq!((view.secondary_strikes, view.cautious_for), (0, None));
        assert_eq!(view.batches, None);
        assert!(!view.account_known);
    })
    .await;
}

#[tokio::test]
async fn a_lease_names_the_credential_and_never_the_secret() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let stranger = Owner::unlinked(stack);
        stranger.chat("feat/y").await;
        let leases = Worker::of(stack).lease().await;
        let groups: Vec<_> = leases.iter().flat_map(|lease| &lease.groups).collect();
        let account: uuid::Uuid = value(stack, "SELECT id FROM git_accounts").await;
        for group in groups {
            assert_eq!(group.credential_id.is_some(), group.access_token.is_some());
            assert!(!group.credential_suspect);
            if let Some(id) = &group.credential_id {
                assert_eq!(*id, account.to_string());
            }
        }
    })
    .await;
}

#[tokio::test]
async fn secondary_limits_make_the_key_cautious_and_are_forgiven_by_the_hour() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let refused = v1::BudgetObservation {
            secondary_refusals: 2,
            pause_for: Some(seconds(600)),
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
        let client = stack.database.client().await;
        client
            .batch_execute("UPDATE git_budgets SET paused_until = now()")
            .await
            .unwrap();

        // A good answer forgives nothing.
        let good = v1::BudgetObservation {
            rest: Some(v1::BudgetWindow {
                remaining: Some(4000),
                ..v1::BudgetWindow::default()
            }),
            ..v1::BudgetObservation::default()
        };
        observe(stack, &worker, good).await;
        let view = told(stack, &worker).await;
        assert_eq!(view.secondary_strikes, 2);
        assert!(view.cautious_for.unwrap().seconds > 1000);

        for (hours, strikes) in [(1, 1), (2, 0), (5, 0)] {
            client
                .batch_execute(&format!(
                    "UPDATE git_budgets SET struck_at = now() - interval '{hours} h 1 s',
                        cautious_until = now()"
                ))
                .await
                .unwrap();
            let view = told(stack, &worker).await;
            assert_eq!(view.secondary_strikes, strikes, "after {hours} h");
            assert_eq!(view.cautious_for, None);
        }
    })
    .await;
}

#[tokio::test]
async fn graphql_requests_are_forgiven_one_every_three_seconds() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let sent = |graphql_requests| v1::BudgetObservation {
            graphql_requests,
            ..v1::BudgetObservation::default()
        };
        observe(stack, &worker, sent(4)).await;
        let client = stack.database.client().await;
        client
            .batch_execute("UPDATE git_budgets SET burst_at = now() - interval '6 s'")
            .await
            .unwrap();
        let burst = told(stack, &worker).await.burst_spent;
        assert!((1.5..=2.0).contains(&burst), "{burst}");
        observe(stack, &worker, sent(3)).await;
        let burst = told(stack, &worker).await.burst_spent;
        assert!((4.0..=5.0).contains(&burst), "{burst}");
        client
            .batch_execute("UPDATE git_budgets SET burst_at = now() - interval '1 h'")
            .await
            .unwrap();
        assert!(told(stack, &worker).await.burst_spent.abs() < 0.01);
    })
    .await;
}

#[tokio::test]
async fn learned_batch_sizes_are_kept_for_all_workers() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let learned = |probe, detail, discover| v1::BudgetObservation {
            batches: Some(v1::BatchSizes {
                probe,
                detail,
                discover,
            }),
            ..v1::BudgetObservation::default()
        };
        observe(stack, &worker, learned(100, 12, 10)).await;
        observe(stack, &worker, learned(0, 17, 0)).await;
        observe(stack, &worker, v1::BudgetObservation::default()).await;
        let batches = told(stack, &worker).await.batches.unwrap();
        assert_eq!(
            (batches.probe, batches.detail, batches.discover),
            (100, 17, 10)
        );
    })
    .await;
}

#[tokio::test]
async fn demand_is_what_all_refs_of_a_key_ask_for_and_is_computed_once_a_minute() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        owner.chat("feat/y").await;
        let worker = Worker::of(stack);
        let client = stack.database.client().await;
        client
            .batch_execute(
                "UPDATE chat_diff_statuses SET base_interval_seconds = 10;
                 UPDATE git_budgets SET demand_at = now() - interval '61 s'",
            )
            .await
            .unwrap();
        told(stack, &worker).await;
        let demand = told(stack, &worker).await.demand;
        assert!((demand - 0.2).abs() < 0.001, "{demand}");
        client
            .batch_execute("UPDATE chat_diff_statuses SET base_interval_seconds = 1")
            .await
            .unwrap();
        told(stack, &worker).await;
        let demand = told(stack, &worker).await.demand;
        assert!((demand - 0.2).abs() < 0.001, "{demand}");
    })
    .await;
}

#[tokio::test]
async fn operators_see_both_interfaces_of_a_budget_and_whose_it_is() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let observation = v1::BudgetObservation {
            graphql: Some(v1::BudgetWindow {
                limit: Some(5000),
                remaining: Some(4321),
                reset_in: Some(seconds(600)),
                pause_for: Some(seconds(60)),
            }),
            secondary_refusals: 1,
            ..v1::BudgetObservation::default()
        };
        observe(stack, &worker, observation).await;
        let state = stack
            .admin(&Caller::user().site("admin"))
            .get_sync_state(v1::GetSyncStateRequest {})
            .await
            .unwrap()
            .into_inner();
        let budget = state.budgets.first().unwrap();
        let graphql = budget.graphql.unwrap();
        assert_eq!((graphql.limit, graphql.remaining), (Some(5000), Some(4321)));
        assert!(graphql.reset_in.is_some() && graphql.pause_for.is_some());
        assert_eq!(budget.secondary_strikes, 1);
        assert_eq!(budget.paused_for, None, "REST may still be used");
        assert!(!budget.account_known);
    })
    .await;
}
