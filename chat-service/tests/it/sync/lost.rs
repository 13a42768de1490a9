//! Leases that are lost: they come back behind what waits, smaller and later.

use super::queue::{branches, lease, numbered, ready_since, run, with_due};
use crate::{
    stack::Stack,
    worker::{Worker, found, outcome, value},
};

/// Ends all leases, as if their time had just passed.
async fn lose_leases(stack: &Stack) {
    run(
        stack,
        "UPDATE git_budgets
         SET queue_at = queue_at - (lease_expires_at - now()), lease_expires_at = now()
         WHERE lease_token IS NOT NULL",
    )
    .await;
}

#[tokio::test]
async fn a_lost_lease_does_not_come_back_first() {
    Stack::run(async |stack| {
        with_due(stack, &["lost".to_owned()]).await;
        with_due(stack, &["waiting".to_owned()]).await;
        ready_since(stack, "lost", 3, 60).await;
        ready_since(stack, "waiting", 3, 20).await;
        let worker = Worker::of(stack);
        assert_eq!(branches(&lease(&worker, 1).await), ["lost"]);
        lose_leases(stack).await;
        assert_eq!(branches(&lease(&worker, 1).await), ["waiting"]);
        assert_eq!(branches(&lease(&worker, 1).await), ["lost"]);
    })
    .await;
}

#[tokio::test]
async fn leases_lost_in_a_row_halve_the_quantum_and_back_off_until_one_is_given_back() {
    Stack::run(async |stack| {
        with_due(stack, &numbered("poison", 8)).await;
        let worker = Worker::of(stack);
        let mut turns = Vec::new();
        let mut backoffs = Vec::new();
        for _ in 0..5 {
            let leases = lease(&worker, 8).await;
            turns.push(branches(&leases).len());
            backoffs.push(
                value::<f64>(
                    stack,
                    "SELECT extract(epoch FROM queue_at - lease_expires_at)::float8 FROM git_budgets",
                )
                .await,
            );
            lose_leases(stack).await;
            run(stack, "UPDATE git_budgets SET queue_at = now()").await;
        }
        assert_eq!(turns, [8, 4, 2, 1, 1]);
        assert_eq!(backoffs, [0.0, 15.0, 30.0, 60.0, 120.0]);

        let last = lease(&worker, 8).await.remove(0);
        worker
            .finish(&last, vec![outcome(last.git_ref(), found())])
            .await;
        run(stack, "UPDATE git_budgets SET queue_at = now()").await;
        assert_eq!(branches(&lease(&worker, 8).await).len(), 7, "all that is left");
    })
    .await;
}

#[tokio::test]
async fn a_report_lifts_no_backoff_of_a_lost_lease() {
    Stack::run(async |stack| {
        let owner = with_due(stack, &["poison".to_owned()]).await;
        let worker = Worker::of(stack);
        for _ in 0..2 {
            assert_eq!(lease(&worker, 1).await.len(), 1);
            lose_leases(stack).await;
        }
        owner.chat("feat/y").await;
        assert!(worker.lease().await.is_empty(), "it waits for 15 s");
    })
    .await;
}

#[tokio::test]
async fn a_renewed_lease_keeps_its_budget_out_of_the_queue() {
    Stack::run(async |stack| {
        with_due(stack, &["feat/x".to_owned()]).await;
        let worker = Worker::of(stack);
        let held = worker.lease_one().await;
        run(
            stack,
            "UPDATE git_budgets
             SET queue_at = now() + interval '1 s', lease_expires_at = now() + interval '1 s'",
        )
        .await;
        worker.renew(&held.0.lease_token).await.unwrap();
        let sql = "SELECT queue_at = lease_expires_at AND queue_at > now() + interval '50 s'
            FROM git_budgets";
        assert!(value::<bool>(stack, sql).await);
    })
    .await;
}
