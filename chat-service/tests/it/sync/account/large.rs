//! Keys with more refs than may be kept waiting while they move.

use proto::chat::v1;
use uuid::Uuid;

use super::{all, keys, tell};
use crate::{
    stack::Stack,
    sync::fairness::tenant_with,
    worker::{Leased, Owner, Worker, make_all_due, report, seconds, value},
};

/// A user with an account and a little more refs than a merge moves.
async fn large(stack: &Stack) -> Owner<'_> {
    let user = tenant_with(stack, [1_001, 20], 3, 60).await;
    let mut owner = Owner::unlinked(stack);
    owner.caller.claims.sub = user.to_string();
    owner.link(&token_of(&owner)).await;
    owner
}

fn token_of(owner: &Owner<'_>) -> String {
    format!("ghp_{}", owner.caller.id())
}

async fn budget_of(stack: &Stack, owner: &Owner<'_>) -> Uuid {
    let user = owner.caller.id();
    let account: Uuid = value(
        stack,
        &format!("SELECT budget_id FROM git_accounts WHERE user_id = '{user}'"),
    )
    .await;
    let together: bool = value(
        stack,
        &format!(
            "SELECT bool_and(budget_id = '{account}') FROM chat_diff_statuses
             WHERE owner_id = '{user}'"
        ),
    )
    .await;
    assert!(together, "refs wait where their account does not spend");
    account
}

#[tokio::test]
async fn linking_wakes_all_refs_that_waited_for_it_however_many() {
    Stack::run(async |stack| {
        let owner = large(stack).await;
        let former = budget_of(stack, &owner).await;
        stack
            .database
            .client()
            .await
            .batch_execute(
                "UPDATE chat_diff_statuses SET due_at = NULL, early_at = NULL,
                    problem_class = 'credential_rejected', problem_since = now();
                 UPDATE git_budgets SET next_due_at = NULL",
            )
            .await
            .unwrap();
        owner.link("ghp_other").await;
        assert_ne!(budget_of(stack, &owner).await, former);
        let waiting: i64 = value(
            stack,
            "SELECT count(*) FROM chat_diff_statuses WHERE due_at IS NULL",
        )
        .await;
        assert_eq!(waiting, 0);
        // And of those that stay where they are.
        stack
            .database
            .client()
            .await
            .batch_execute("UPDATE chat_diff_statuses SET due_at = NULL, early_at = NULL")
            .await
            .unwrap();
        owner.link("ghp_other").await;
        let waiting: i64 = value(
            stack,
            "SELECT count(*) FROM chat_diff_statuses WHERE due_at IS NULL",
        )
        .await;
        assert_eq!(waiting, 0);
    })
    .await;
}

#[tokio::test]
async fn of_two_keys_of_one_account_the_one_with_few_refs_moves() {
    Stack::run(async |stack| {
        let worker = Worker::of(stack);
        let small = Owner::linked(stack).await;
        small.chat("feat/x").await;
        tell(&worker, &worker.lease_one().await, "same", Some(600)).await;
        assert_eq!(keys(stack).await, ["api.github.com|account:same"]);
        let large = large(stack).await;
        let before = budget_of(stack, &large).await;
        let lease = worker.lease_one().await;
        assert!(lease.0.budget_key.contains("|token:"));
        tell(&worker, &lease, "same", None).await;
        assert_eq!(keys(stack).await, ["api.github.com|account:same"]);
        assert_eq!(budget_of(stack, &large).await, before, "many refs moved");
        assert_eq!(budget_of(stack, &small).await, before);
        make_all_due(stack).await;
        assert!(worker.lease().await.is_empty(), "the pause went along");
        large.link(&token_of(&large)).await;
        assert_eq!(budget_of(stack, &large).await, before, "it is no new token");
    })
    .await;
}

/// Two users with a token of the same account each, and too many refs for their keys to be merged.
async fn two_apart<'a>(stack: &'a Stack, worker: &Worker) -> [Owner<'a>; 2] {
    let owners = [large(stack).await, large(stack).await];
    for _ in 0..2 {
        let mut leased = 0;
        while leased < 2 {
            for lease in all(worker).await {
                tell(worker, &lease, "same", None).await;
                leased += 1;
            }
        }
    }
    owners
}

/// The leases of two keys: one claim may be full of the first one's refs.
async fn both(worker: &Worker) -> Vec<Leased> {
    let mut leases = all(worker).await;
    if leases.len() < 2 {
        leases.extend(all(worker).await);
    }
    assert_eq!(leases.len(), 2);
    leases
}

#[tokio::test]
async fn two_keys_of_one_account_that_both_have_many_refs_stay_apart_and_go_on() {
    Stack::run(async |stack| {
        let worker = Worker::of(stack);
        let owners = two_apart(stack, &worker).await;
        let keys = keys(stack).await;
        assert_eq!(keys.len(), 2, "{keys:?}");
        assert_eq!(keys[0], "api.github.com|account:same");
        assert!(keys[1].contains("|token:"));
        assert_ne!(
            budget_of(stack, &owners[0]).await,
            budget_of(stack, &owners[1]).await
        );
    })
    .await;
}

/// Promise 7.
#[tokio::test]
async fn a_pause_holds_for_all_keys_of_an_account_also_for_those_that_stay_apart() {
    Stack::run(async |stack| {
        let worker = Worker::of(stack);
        two_apart(stack, &worker).await;
        make_all_due(stack).await;
        // Both interfaces, one after the other, each by the key that meets it.
        let leases = both(&worker).await;
        for (number, lease) in leases.iter().enumerate() {
            let mut paused = report(&lease.0.lease_token, Vec::new());
            let window = v1::BudgetWindow {
                pause_for: Some(seconds(600)),
                ..v1::BudgetWindow::default()
            };
            let mut budget = v1::BudgetObservation::default();
            if number == 0 {
                budget.rest = Some(window);
            } else {
                budget.graphql = Some(window);
            }
            paused.budget = Some(budget);
            paused.release_lease = number > 0;
            worker.try_report(paused).await.unwrap();
        }
        worker.release(&leases[0].0.lease_token).await;
        assert!(worker.lease().await.is_empty(), "the other key goes on");
    })
    .await;
}

/// Promise 7.
#[tokio::test]
async fn a_pause_holds_for_a_key_that_turns_out_to_be_the_same_accounts() {
    Stack::run(async |stack| {
        let worker = Worker::of(stack);
        let _owners = [large(stack).await, large(stack).await];
        let leases = both(&worker).await;
        tell(&worker, &leases[0], "same", Some(600)).await;
        tell(&worker, &leases[1], "same", None).await;
        assert!(worker.lease().await.is_empty(), "the other key goes on");
    })
    .await;
}

#[tokio::test]
async fn keys_that_stay_apart_are_counted_again_when_some_time_has_passed() {
    Stack::run(async |stack| {
        let worker = Worker::of(stack);
        two_apart(stack, &worker).await;
        let client = stack.database.client().await;
        client
            .batch_execute(
                "DELETE FROM chat_diff_statuses s
             USING git_budgets b
             WHERE b.id = s.budget_id AND b.budget_key LIKE '%|token:%' AND s.git_branch LIKE '%1'",
            )
            .await
            .unwrap();
        for (after, expected) in [("59 min", 2), ("2 min", 1)] {
            client
                .batch_execute(&format!(
                    "UPDATE git_budgets SET merge_after = merge_after - interval '{after}'"
                ))
                .await
                .unwrap();
            make_all_due(stack).await;
            for lease in both(&worker).await {
                worker.release(&lease.0.lease_token).await;
            }
            assert_eq!(keys(stack).await.len(), expected, "after {after}");
        }
    })
    .await;
}
