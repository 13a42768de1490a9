//! Linking again a token whose budget has become its account's: it is no new token.

use uuid::Uuid;

use super::{all, keys, tell, tell_with};
use crate::{
    stack::Stack,
    worker::{Owner, Worker, limited, make_all_due, run, settle_all, value},
};

/// Which budget the owner's account spends.
pub(super) async fn budget_of(owner: &Owner<'_>) -> Uuid {
    let user = owner.caller.id();
    value(
        owner.stack,
        &format!("SELECT budget_id FROM git_accounts WHERE user_id = '{user}'"),
    )
    .await
}

async fn assert_nothing_is_leased(stack: &Stack, worker: &Worker) {
    make_all_due(stack).await;
    assert!(worker.lease().await.is_empty(), "the pause was lifted");
}

/// Promise 7.
#[tokio::test]
async fn a_shared_token_that_one_user_links_again_stays_paused() {
    Stack::run(async |stack| {
        let worker = Worker::of(stack);
        let (owner, other) = (Owner::unlinked(stack), Owner::unlinked(stack));
        for owner in [&owner, &other] {
            owner.link("ghp_bot").await;
            owner.chat("feat/x").await;
        }
        let lease = all(&worker).await.remove(0);
        tell_with(&worker, &lease, "4711", limited()).await;
        owner.link("ghp_bot").await;
        assert_nothing_is_leased(stack, &worker).await;
        assert_eq!(budget_of(&owner).await, budget_of(&other).await);
    })
    .await;
}

/// Promise 7.
#[tokio::test]
async fn a_token_that_is_unlinked_and_linked_again_stays_paused() {
    Stack::run(async |stack| {
        let worker = Worker::of(stack);
        let owner = Owner::unlinked(stack);
        owner.link("ghp_own").await;
        owner.chat("feat/x").await;
        let lease = worker.lease_one().await;
        tell_with(&worker, &lease, "4711", limited()).await;
        owner.unlink().await;
        owner.link("ghp_own").await;
        assert_nothing_is_leased(stack, &worker).await;
    })
    .await;
}

#[tokio::test]
async fn every_token_of_an_account_is_known_again() {
    Stack::run(async |stack| {
        let worker = Worker::of(stack);
        let owners = [Owner::unlinked(stack), Owner::unlinked(stack)];
        for (number, owner) in owners.iter().enumerate() {
            owner.link(&format!("ghp_{number}")).await;
            owner.chat(&format!("feat/{number}")).await;
            tell(&worker, &worker.lease_one().await, "4711").await;
            // What the first still waits for is not leased again here.
            run(
                stack,
                "UPDATE git_ref_polls SET due_at = NULL, early_at = NULL",
            )
            .await;
            settle_all(stack).await;
        }
        let account = budget_of(&owners[0]).await;
        for (number, owner) in owners.iter().enumerate() {
            owner.link(&format!("ghp_{number}")).await;
            assert_eq!(budget_of(owner).await, account, "token {number}");
        }
        assert_eq!(keys(stack).await, ["api.github.com|account:4711"]);
    })
    .await;
}
