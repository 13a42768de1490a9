//! Accounts of many refs: what is linked, unlinked or learned is one row of theirs.

use super::{again::budget_of, keys, tell, tell_with};
use crate::{
    stack::Stack,
    sync::fairness::tenant_with,
    worker::{Owner, Worker, limited, make_all_due, settle_all, value},
};

/// A user with an account and twenty thousand due refs.
async fn large(stack: &Stack) -> Owner<'_> {
    let user = tenant_with(stack, [1_000, 20], 3, 60).await;
    let mut owner = Owner::unlinked(stack);
    owner.caller.claims.sub = user.to_string();
    owner
}

/// The transaction that last wrote a ref, of what is shown or planned of it.
async fn last_write(stack: &Stack) -> i64 {
    value(
        stack,
        "SELECT max(w.id::text::bigint) FROM (
            SELECT xmin AS id FROM git_refs UNION ALL SELECT xmin FROM git_ref_polls
         ) AS w",
    )
    .await
}

#[tokio::test]
async fn linking_and_unlinking_write_one_account_and_no_ref() {
    Stack::run(async |stack| {
        let owner = large(stack).await;
        let before = last_write(stack).await;
        let worker = Worker::of(stack);
        for token in ["ghp_one", "ghp_other", "ghp_one"] {
            owner.link(token).await;
            let lease = worker.lease_one().await;
            assert_eq!(lease.access_token(), Some(token));
            assert_eq!(lease.refs().len(), 100);
            worker.release(&lease.0.lease_token).await;
            settle_all(stack).await;
        }
        owner.unlink().await;
        assert!(worker.lease().await.is_empty());
        assert_eq!(last_write(stack).await, before);
    })
    .await;
}

/// Promise 7.
#[tokio::test]
async fn learning_whose_a_token_is_moves_an_account_of_many_refs_and_writes_none() {
    Stack::run(async |stack| {
        let worker = Worker::of(stack);
        let small = Owner::linked(stack).await;
        small.chat("feat/x").await;
        tell_with(&worker, &worker.lease_one().await, "same", limited()).await;
        let large = large(stack).await;
        large.link("ghp_large").await;
        let before = last_write(stack).await;
        let lease = worker.lease_one().await;
        assert!(lease.0.budget_key.contains("|token:"));
        tell(&worker, &lease, "same").await;
        assert_eq!(keys(stack).await, ["api.github.com|account:same"]);
        assert_eq!(budget_of(&large).await, budget_of(&small).await);
        assert_eq!(last_write(stack).await, before);
        make_all_due(stack).await;
        assert!(worker.lease().await.is_empty(), "the pause holds for it");
        let account = budget_of(&large).await;
        large.link("ghp_large").await;
        assert_eq!(budget_of(&large).await, account, "it is no new token");
    })
    .await;
}
