//! What lease calls that wait cost, and what they may miss.

use std::time::Duration;

use tokio::{task::JoinSet, time::Instant};

use crate::{
    lock::Holder,
    stack::Stack,
    worker::{Owner, Worker, run, value},
};

/// The statement of a poll.
const LOOK: &str = "lock_ready_budgets";
/// How many workers wait.
const WAITING: u64 = 40;

/// Starts [`WAITING`] lease calls, and returns when each has polled and waits.
async fn waiting(stack: &Stack) -> JoinSet<usize> {
    let before = stack.statements("find_next_budget").await;
    let mut calls = JoinSet::new();
    for _ in 0..WAITING {
        let worker = Worker::of(stack);
        calls.spawn(async move { worker.wait_for_lease().await.len() });
    }
    testkit::wait::until("all have looked", || async {
        let looks = stack.statements("find_next_budget").await - before;
        if looks >= WAITING { Ok(()) } else { Err(looks) }
    })
    .await;
    calls
}

#[tokio::test]
async fn forty_waiting_workers_look_no_more_than_one_while_a_user_relinks() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let client = stack.database.client().await;
        let _calls = waiting(stack).await;
        let begun = Instant::now();
        let before = stack.statements(LOOK).await;
        for _ in 0..45 {
            owner.link("ghp_again").await;
        }
        let relinked = stack.statements(LOOK).await - before;
        assert!(relinked < 10, "{relinked} looks: nothing became due");
        // And what another replica notifies of is one look for all of them.
        for _ in 0..45 {
            client.batch_execute("NOTIFY chat_due").await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let notified = stack.statements(LOOK).await - before - relinked;
        assert!((1..=60).contains(&notified), "{notified} looks");
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "calls still wait"
        );
    })
    .await;
}

#[tokio::test]
async fn each_waiting_worker_gets_one_of_what_becomes_due_at_once() {
    Stack::run(async |stack| {
        let mut owners = Vec::new();
        for _ in 0..5 {
            owners.push(Owner::linked(stack).await);
        }
        let mut calls = waiting(stack).await;
        for owner in &owners {
            owner.chat("feat/x").await;
        }
        let mut leased = 0;
        while leased < owners.len() {
            leased += calls.join_next().await.unwrap().unwrap();
        }
        assert_eq!(leased, owners.len());
    })
    .await;
}

#[tokio::test]
async fn a_lost_notification_costs_a_waiting_worker_a_few_seconds() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        run(
            stack,
            "UPDATE git_budgets SET queue_at = now() + interval '1 day'",
        )
        .await;
        let worker = Worker::of(stack);
        let begun = Instant::now();
        let due = async {
            testkit::wait::until("it has looked", || async {
                let looks = stack.statements("find_next_budget").await;
                if looks > 0 { Ok(()) } else { Err(looks) }
            })
            .await;
            run(stack, "UPDATE git_budgets SET queue_at = now()").await;
        };
        let (leases, ()) = tokio::join!(worker.wait_for_lease(), due);
        assert_eq!(leases.len(), 1);
        assert!(begun.elapsed() < Duration::from_secs(8));
    })
    .await;
}

#[tokio::test]
async fn a_ready_budget_that_is_held_for_long_is_looked_for_less_and_less_often() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let holder = Holder::of(stack, "SELECT id FROM git_budgets FOR UPDATE").await;
        let mut calls = JoinSet::new();
        for _ in 0..WAITING {
            let worker = Worker::of(stack);
            calls.spawn(async move { worker.wait_for_lease().await.len() });
        }
        let looks = async || stack.statements(LOOK).await;
        testkit::wait::until("all have looked", || async {
            let looks = looks().await;
            if looks >= WAITING { Ok(()) } else { Err(looks) }
        })
        .await;
        let before = looks().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let within = looks().await - before;
        assert!(within <= 20, "{within} looks in two seconds");
        holder.let_go().await;
        assert_eq!(calls.join_next().await.unwrap().unwrap(), 1);
        let leased: i64 = value(
            stack,
            "SELECT count(*) FROM git_budgets WHERE lease_token IS NOT NULL",
        )
        .await;
        assert_eq!(leased, 1);
    })
    .await;
}
