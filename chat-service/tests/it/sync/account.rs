//! Tokens that turn out to be one account's at the host: one key, one spender, one pause.

mod again;
mod large;

use std::time::Duration;

use proto::chat::v1;

use crate::{
    lock::{Holder, until_blocked},
    stack::Stack,
    worker::{Leased, Owner, Worker, expire_leases, make_all_due, report, seconds, value},
};

/// Reports whose account the key of a lease is, and gives the lease back.
async fn tell(worker: &Worker, lease: &Leased, account: &str, pause: Option<u64>) {
    let mut told = report(&lease.0.lease_token, Vec::new());
    told.budget = Some(v1::BudgetObservation {
        account_id: Some(account.to_owned()),
        pause_for: pause.map(seconds),
        ..v1::BudgetObservation::default()
    });
    worker.try_report(told).await.unwrap();
}

async fn all(worker: &Worker) -> Vec<Leased> {
    worker.lease().await.into_iter().map(Leased).collect()
}

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
async fn a_tokens_key_becomes_its_accounts_when_the_host_has_told() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        assert!(lease.0.budget_key.contains("|token:"));
        tell(&worker, &lease, "4711", None).await;
        let lease = worker.lease_one().await;
        assert_eq!(lease.0.budget_key, "api.github.com|account:4711");
        assert!(lease.0.budget.unwrap().account_known);
        // It is learned once.
        tell(&worker, &lease, "4712", None).await;
        assert_eq!(keys(stack).await, ["api.github.com|account:4711"]);
    })
    .await;
}

/// Promise 7.
#[tokio::test]
async fn two_tokens_of_one_account_end_as_one_budget_key_and_one_pause_holds_for_both() {
    Stack::run(async |stack| {
        let one = Owner::linked(stack).await;
        one.chat("feat/1").await;
        let other = Owner::linked(stack).await;
        other.chat("feat/2").await;
        let third = Owner::linked(stack).await;
        third.chat("feat/3").await;
        let worker = Worker::of(stack);
        let leases = all(&worker).await;
        assert_eq!(leases.len(), 3);
        for lease in &leases {
            let account = match lease.git_ref().branch.as_str() {
                "feat/3" => "other",
                _ => "same",
            };
            tell(&worker, lease, account, None).await;
        }
        assert_eq!(
            keys(stack).await,
            [
                "api.github.com|account:other",
                "api.github.com|account:same"
            ]
        );
        let mut leases = all(&worker).await;
        assert_eq!(leases.len(), 2);
        leases.sort_by_key(|lease| lease.refs().len());
        let both = &leases[1];
        let mut branches: Vec<&str> = both.refs().iter().map(|of| of.branch.as_str()).collect();
        branches.sort_unstable();
        assert_eq!(branches, ["feat/1", "feat/2"]);
        // Each with its own credential.
        assert_eq!(both.0.groups.len(), 2);
        assert_ne!(both.0.groups[0].access_token, both.0.groups[1].access_token);
        tell(&worker, both, "same", Some(600)).await;
        worker.release(&leases[0].0.lease_token).await;
        make_all_due(stack).await;
        assert_eq!(worker.lease_one().await.git_ref().branch, "feat/3");
    })
    .await;
}

#[tokio::test]
async fn a_pause_learned_with_one_token_holds_for_the_next() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        tell(&worker, &worker.lease_one().await, "4711", None).await;
        // Somebody else links another token of the same account, which meets the limit first.
        let other = Owner::linked(stack).await;
        other.chat("feat/y").await;
        let leases = all(&worker).await;
        let (of_token, of_account): (Vec<_>, Vec<_>) = leases
            .into_iter()
            .partition(|lease| lease.0.budget_key.contains("|token:"));
        tell(&worker, &of_token[0], "4711", Some(600)).await;
        let merged = keys(stack).await;
        assert_eq!(merged.len(), 2, "never while one of them is leased");
        worker.release(&of_account[0].0.lease_token).await;
        assert_eq!(keys(stack).await, ["api.github.com|account:4711"]);
        make_all_due(stack).await;
        assert!(worker.lease().await.is_empty(), "the pause holds for both");
    })
    .await;
}

#[tokio::test]
async fn a_new_token_of_the_same_account_ends_in_the_same_key() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        tell(&worker, &worker.lease_one().await, "4711", None).await;
        owner.link("ghp_new").await;
        let lease = worker.lease_one().await;
        assert!(lease.0.budget_key.contains("|token:"));
        tell(&worker, &lease, "4711", None).await;
        assert_eq!(keys(stack).await, ["api.github.com|account:4711"]);
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
async fn whose_account_a_key_is_is_learned_only_under_a_live_lease() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        expire_leases(stack).await;
        let mut told = report(&lease.0.lease_token, Vec::new());
        told.budget = Some(v1::BudgetObservation {
            account_id: Some("4711".to_owned()),
            ..v1::BudgetObservation::default()
        });
        assert!(worker.try_report(told).await.is_err());
        assert!(keys(stack).await[0].contains("|token:"));
    })
    .await;
}

#[tokio::test]
async fn keys_that_cannot_be_merged_keep_no_other_from_it() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        tell(&worker, &worker.lease_one().await, "same", None).await;
        // More than are looked at after one lease, and before any other.
        stack
            .database
            .client()
            .await
            .batch_execute(
                "INSERT INTO git_budgets (
                    id, budget_key, provider_id, account_id, lease_token, lease_expires_at,
                    lease_worker, lease_request_id
                 )
                 SELECT
                    lpad(n::text, 32, '0')::uuid, 'api.github.com|token:' || n, 'github', 'same',
                    gen_random_uuid(), now() + interval '1 h', 'other', gen_random_uuid()
                 FROM generate_series(1, 12) n",
            )
            .await
            .unwrap();
        let other = Owner::linked(stack).await;
        other.chat("feat/y").await;
        let leases = all(&worker).await;
        for lease in &leases {
            tell(&worker, lease, "same", None).await;
        }
        assert_eq!(keys(stack).await, ["api.github.com|account:same"]);
    })
    .await;
}

#[tokio::test]
async fn a_key_that_meets_a_merge_of_itself_is_merged() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        // As another replica's merge would: it makes the account's key, then locks both. Its own wait for a
        // deadlock is the longer one, so that the service's statement is the one that ends.
        let holder = Holder::of(
            stack,
            "SET LOCAL deadlock_timeout = '1min';
             INSERT INTO git_budgets (id, budget_key, provider_id)
             VALUES (gen_random_uuid(), 'api.github.com|account:same', 'github')",
        )
        .await;
        let meeting = async {
            until_blocked(stack, 1).await;
            holder
                .run("SELECT FROM git_budgets WHERE budget_key LIKE '%|token:%' FOR UPDATE")
                .await;
            holder.let_go().await;
        };
        tokio::join!(tell(&worker, &lease, "same", None), meeting);
        assert_eq!(keys(stack).await, ["api.github.com|account:same"]);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_locked_to_merge_a_key_with_one_that_is_leased() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        tell(&worker, &worker.lease_one().await, "same", None).await;
        let other = Owner::linked(stack).await;
        other.chat("feat/y").await;
        let (of_token, of_account): (Vec<_>, Vec<_>) = all(&worker)
            .await
            .into_iter()
            .partition(|lease| lease.0.budget_key.contains("|token:"));
        let holder = Holder::of(
            stack,
            &format!(
                "SELECT pg_advisory_xact_lock(
                    hashtextextended('git_account:' || '{}' || ':github', 0)
                 )",
                other.caller.id()
            ),
        )
        .await;
        tokio::time::timeout(
            Duration::from_secs(5),
            tell(&worker, &of_token[0], "same", None),
        )
        .await
        .expect("a report waits for somebody who links an account");
        holder.let_go().await;
        worker.release(&of_account[0].0.lease_token).await;
        assert_eq!(keys(stack).await, ["api.github.com|account:same"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_that_are_merged_while_accounts_come_and_go_lose_no_ref() {
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
                    tell(&worker, &lease, "same", None).await;
                }
            }
        };
        let linking = async {
            for round in 0..6 {
                for (number, owner) in owners.iter().enumerate() {
                    // Each token twice: a new one, and one that is merged meanwhile or was before.
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
            for lease in all(&worker).await {
                tell(&worker, &lease, "same", None).await;
            }
        }
        assert_eq!(keys(stack).await, ["api.github.com|account:same"]);
        let lease = worker.lease_one().await;
        assert_eq!(lease.refs().len(), 9);
        let strays: i64 = value(
            stack,
            "SELECT count(*) FROM chat_diff_statuses s JOIN git_accounts a
                ON a.user_id = s.owner_id AND a.provider_id = s.provider_id
             WHERE a.budget_id <> s.budget_id",
        )
        .await;
        assert_eq!(strays, 0);
    })
    .await;
}
