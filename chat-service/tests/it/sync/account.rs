//! Tokens that turn out to be one account's at the host: one budget, one spender, one pause.

mod again;
mod large;

use proto::{chat::v1, reason};

use crate::{
    lock::{Holder, until_blocked},
    stack::{Stack, refused},
    worker::{
        Leased, Owner, Worker, expire_leases, limited, make_all_due, report, settle_all, value,
    },
};

/// Reports whose account the budget of a lease is, and gives the lease back.
async fn tell(worker: &Worker, lease: &Leased, account: &str) {
    tell_with(worker, lease, account, v1::BudgetObservation::default()).await;
}

/// The same, with another observation of the budget in the report.
async fn tell_with(
    worker: &Worker,
    lease: &Leased,
    account: &str,
    observation: v1::BudgetObservation,
) {
    let mut message = report(&lease.0.lease_token, Vec::new());
    message.budget = Some(v1::BudgetObservation {
        account_id: Some(account.to_owned()),
        ..observation
    });
    worker.try_report(message).await.unwrap();
}

async fn all(worker: &Worker) -> Vec<Leased> {
    worker.lease().await.into_iter().map(Leased).collect()
}

/// The leases of budgets that are a token's, and those of an account's.
async fn of_token_and_account(worker: &Worker) -> (Vec<Leased>, Vec<Leased>) {
    all(worker)
        .await
        .into_iter()
        .partition(|lease| lease.0.budget_key.contains("|token:"))
}

/// The budgets that accounts spend.
async fn keys(stack: &Stack) -> Vec<String> {
    let rows = stack
        .database
        .client()
        .await
        .query(
            "SELECT DISTINCT b.budget_key FROM git_budgets b
             JOIN git_accounts a ON a.budget_id = b.id ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.try_get(0).unwrap()).collect()
}

#[tokio::test]
async fn a_tokens_budget_becomes_its_accounts_when_the_host_identifies_it() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        assert!(lease.0.budget_key.contains("|token:"));
        tell(&worker, &lease, "4711").await;
        settle_all(stack).await;
        let lease = worker.lease_one().await;
        assert_eq!(lease.0.budget_key, "api.github.com|account:4711");
        assert!(lease.0.budget.as_ref().unwrap().account_known);
        // It is learned once.
        tell(&worker, &lease, "4712").await;
        assert_eq!(keys(stack).await, ["api.github.com|account:4711"]);
    })
    .await;
}

#[tokio::test]
async fn a_report_that_ends_its_lease_by_a_merge_says_that_the_turn_is_over() {
    Stack::run(async |stack| {
        for number in 1..=2 {
            let owner = Owner::linked(stack).await;
            owner.chat(&format!("feat/{number}")).await;
        }
        let worker = Worker::of(stack);
        let mut awaited = Vec::new();
        for lease in all(&worker).await {
            let mut message = report(&lease.0.lease_token, Vec::new());
            message.release_lease = false;
            message.budget = Some(v1::BudgetObservation {
                account_id: Some("same".to_owned()),
                ..v1::BudgetObservation::default()
            });
            awaited.push(worker.report(message).await.unwrap().awaited);
        }
        assert_eq!(awaited, [false, true]);
    })
    .await;
}

/// Promise 7.
#[tokio::test]
async fn two_tokens_of_one_account_end_as_one_budget_and_one_pause_holds_for_both() {
    Stack::run(async |stack| {
        for number in 1..=3 {
            let owner = Owner::linked(stack).await;
            owner.chat(&format!("feat/{number}")).await;
        }
        let worker = Worker::of(stack);
        let leases = all(&worker).await;
        assert_eq!(leases.len(), 3);
        for lease in &leases {
            let account = match lease.git_ref().branch.as_str() {
                "feat/3" => "other",
                _ => "same",
            };
            tell(&worker, lease, account).await;
        }
        assert_eq!(
            keys(stack).await,
            [
                "api.github.com|account:other",
                "api.github.com|account:same"
            ]
        );
        settle_all(stack).await;
        let mut leases = all(&worker).await;
        assert_eq!(leases.len(), 2);
        leases.sort_by_key(|lease| lease.refs().len());
        let both = &leases[1];
        assert_eq!(both.branches(), ["feat/1", "feat/2"]);
        // Each with its own credential.
        let mut tokens: Vec<&str> = both
            .0
            .groups
            .iter()
            .map(|group| group.credential.as_ref().unwrap().access_token.as_str())
            .collect();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), 2);
        tell_with(&worker, both, "same", limited()).await;
        worker.release(&leases[0].0.lease_token).await;
        make_all_due(stack).await;
        assert_eq!(worker.lease_one().await.git_ref().branch, "feat/3");
    })
    .await;
}

/// Promise 7.
#[tokio::test]
async fn a_pause_learned_with_one_token_holds_for_the_other_while_that_is_leased() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        tell(&worker, &worker.lease_one().await, "4711").await;
        settle_all(stack).await;
        // Another user links another token of the same account, which meets the limit first.
        let other = Owner::linked(stack).await;
        other.chat("feat/y").await;
        let (of_token, of_account) = of_token_and_account(&worker).await;
        tell_with(&worker, &of_token[0], "4711", limited()).await;
        assert_eq!(keys(stack).await, ["api.github.com|account:4711"]);
        worker.release(&of_account[0].0.lease_token).await;
        make_all_due(stack).await;
        assert!(worker.lease().await.is_empty(), "the pause holds for both");
    })
    .await;
}

#[tokio::test]
async fn learning_whose_a_token_is_ends_the_lease_when_the_account_has_a_budget() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        tell(&worker, &worker.lease_one().await, "4711").await;
        settle_all(stack).await;
        let other = Owner::linked(stack).await;
        other.chat("feat/y").await;
        let (of_token, of_account) = of_token_and_account(&worker).await;
        let mut message = report(&of_token[0].0.lease_token, Vec::new());
        message.release_lease = false;
        message.budget = Some(v1::BudgetObservation {
            account_id: Some("4711".to_owned()),
            ..v1::BudgetObservation::default()
        });
        worker.try_report(message).await.unwrap();
        let renewed = worker.renew(&of_token[0].0.lease_token).await;
        assert_eq!(refused(renewed).1, reason::LEASE_LOST);
        assert!(worker.lease().await.is_empty(), "the account has a spender");
        worker.release(&of_account[0].0.lease_token).await;
        settle_all(stack).await;
        assert_eq!(worker.lease_one().await.branches(), ["feat/x", "feat/y"]);
    })
    .await;
}

#[tokio::test]
async fn a_new_token_of_the_same_account_ends_in_the_same_budget() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        tell(&worker, &worker.lease_one().await, "4711").await;
        owner.link("ghp_new").await;
        settle_all(stack).await;
        let lease = worker.lease_one().await;
        assert!(lease.0.budget_key.contains("|token:"));
        tell(&worker, &lease, "4711").await;
        assert_eq!(keys(stack).await, ["api.github.com|account:4711"]);
        settle_all(stack).await;
        let lease = worker.lease_one().await;
        assert_eq!(lease.access_token(), Some("ghp_new"));
        let budgets: i64 = value(
            stack,
            "SELECT count(*) FROM git_budgets
             WHERE provider_id = 'github' AND account_id IS NOT NULL",
        )
        .await;
        assert_eq!(budgets, 1);
    })
    .await;
}

#[tokio::test]
async fn whose_account_a_budget_is_is_learned_only_under_a_live_lease() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        expire_leases(stack).await;
        let mut message = report(&lease.0.lease_token, Vec::new());
        message.budget = Some(v1::BudgetObservation {
            account_id: Some("4711".to_owned()),
            ..v1::BudgetObservation::default()
        });
        assert_eq!(
            refused(worker.try_report(message).await).1,
            reason::LEASE_LOST
        );
        assert!(keys(stack).await[0].contains("|token:"));
    })
    .await;
}

#[tokio::test]
async fn two_tokens_that_turn_out_at_once_to_be_one_accounts_end_as_one_budget() {
    Stack::run(async |stack| {
        for number in 1..=2 {
            let owner = Owner::linked(stack).await;
            owner.chat(&format!("feat/{number}")).await;
        }
        let worker = Worker::of(stack);
        let leases = all(&worker).await;
        assert_eq!(leases.len(), 2);
        // Both have found no budget of the account when they meet.
        let holder = Holder::of(stack, "SELECT FROM git_budgets FOR UPDATE").await;
        let meeting = async {
            until_blocked(stack, 2).await;
            holder.let_go().await;
        };
        tokio::join!(
            tell(&worker, &leases[0], "same"),
            tell(&worker, &leases[1], "same"),
            meeting
        );
        assert_eq!(keys(stack).await, ["api.github.com|account:same"]);
        settle_all(stack).await;
        assert_eq!(worker.lease_one().await.branches(), ["feat/1", "feat/2"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn accounts_that_are_learned_while_they_come_and_go_lose_no_ref() {
    Stack::run(async |stack| {
        let mut owners = Vec::new();
        for number in 0..3 {
            let owner = Owner::linked(stack).await;
            owner.chat(&format!("feat/{number}")).await;
            owners.push(owner);
        }
        let worker = Worker::of(stack);
        let telling = async {
            for _ in 0..8 {
                for lease in all(&worker).await {
                    tell(&worker, &lease, "same").await;
                }
            }
        };
        let linking = async {
            for round in 0..6 {
                for (number, owner) in owners.iter().enumerate() {
                    // Each token twice: a new one, and one whose account is learned meanwhile or
                    // was.
                    owner.link(&format!("ghp_{number}_{}", round / 2)).await;
                }
            }
        };
        let reporting = async {
            for round in 0..6 {
                owners[0].chat(&format!("late/{round}")).await;
            }
        };
        tokio::join!(telling, linking, reporting);
        for _ in 0..3 {
            settle_all(stack).await;
            for lease in all(&worker).await {
                tell(&worker, &lease, "same").await;
            }
        }
        assert_eq!(keys(stack).await, ["api.github.com|account:same"]);
        settle_all(stack).await;
        assert_eq!(worker.lease_one().await.refs().len(), 9);
    })
    .await;
}
