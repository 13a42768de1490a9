//! Calls that change the same refs at once, met at locks that the test holds.

use proto::chat::v1::{self, OutcomeResultStatus, ProblemClass};

use crate::{
    lock::{Holder, until_blocked},
    stack::{Stack, refused},
    worker::{Leased, Owner, Worker, found, none, outcome, value},
};

const LOCK_BUDGETS: &str = "SELECT FROM git_budgets ORDER BY id FOR UPDATE";

async fn set_archived(owner: &Owner<'_>, chat: &str, archived: bool) {
    let request = v1::UpdateChatRequest {
        chat_id: chat.to_owned(),
        archived: Some(archived),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["archived".to_owned()],
        }),
        ..v1::UpdateChatRequest::default()
    };
    owner
        .stack
        .chats(&owner.caller)
        .update_chat(request)
        .await
        .unwrap();
}

/// Budgets that are not due although a ref of theirs is.
async fn forgotten(stack: &Stack) -> i64 {
    let row = stack
        .database
        .client()
        .await
        .query_one(
            "SELECT count(*) FROM git_budgets b WHERE EXISTS (
                 SELECT FROM git_accounts a
                 JOIN git_ref_polls p ON p.account_id = a.id
                 WHERE a.budget_id = b.id AND p.due_at <= now()
             ) AND b.lease_token IS NULL AND coalesce(b.queue_at, 'infinity') > now()",
            &[],
        )
        .await
        .unwrap();
    row.try_get(0).unwrap()
}

#[tokio::test]
async fn a_chat_unarchived_while_its_refs_change_the_budget_is_due_where_they_are() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(none()).await;
        for token in [Some("ghp_other"), None] {
            set_archived(&owner, &chat.id, true).await;
            let holder = Holder::of(stack, LOCK_BUDGETS).await;
            let moving = async {
                match token {
                    Some(token) => drop(owner.link(token).await),
                    None => owner.unlink().await,
                }
            };
            let unarchiving = async {
                until_blocked(stack, 1).await;
                set_archived(&owner, &chat.id, false).await;
            };
            let meeting = async {
                until_blocked(stack, 2).await;
                holder.let_go().await;
            };
            tokio::join!(moving, unarchiving, meeting);
            assert_eq!(forgotten(stack).await, 0, "{token:?}");
            let status = owner.status(&chat.id).await;
            let Some(token) = token else {
                let problem = status.problem.expect("nothing is linked");
                assert_eq!(problem.class(), ProblemClass::NoAccount);
                assert!(worker.lease().await.is_empty());
                return;
            };
            let leases = worker.wait_for_lease().await;
            let lease = Leased(leases.into_iter().next().unwrap());
            assert_eq!(lease.access_token(), Some(token));
            worker
                .finish(&lease, vec![outcome(lease.git_ref(), none())])
                .await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_budget_is_leased_while_another_account_is_linked_to_it() {
    Stack::run(async |stack| {
        let (owner, other) = (Owner::unlinked(stack), Owner::unlinked(stack));
        owner.link("ghp_shared").await;
        // As a claim does: the budget is locked first, and written later.
        let lock = "SELECT FROM git_budgets FOR NO KEY UPDATE";
        let holder = Holder::of(stack, lock).await;
        let claiming = async {
            until_blocked(stack, 1).await;
            holder
                .run(
                    "UPDATE git_budgets SET lease_token = gen_random_uuid(), lease_worker = 'w',
                        lease_request_id = gen_random_uuid(), lease_expires_at = now()",
                )
                .await;
            holder.let_go().await;
        };
        tokio::join!(other.link("ghp_shared"), claiming);
        let spending = "SELECT count(*) FROM git_accounts WHERE budget_id IS NOT NULL";
        assert_eq!(value::<i64>(stack, spending).await, 2);
    })
    .await;
}

#[tokio::test]
async fn an_account_leaves_a_budget_while_another_uses_a_token_of_it() {
    Stack::run(async |stack| {
        let (owner, other) = (Owner::unlinked(stack), Owner::unlinked(stack));
        for owner in [&owner, &other] {
            owner.link("ghp_shared").await;
        }
        // As linking does: a token is used first, and the budget is locked later.
        let using = "SELECT FROM git_tokens FOR NO KEY UPDATE";
        let holder = Holder::of(stack, using).await;
        owner.unlink().await;
        holder
            .run("SELECT FROM git_budgets FOR NO KEY UPDATE")
            .await;
        holder.let_go().await;
        let spending = "SELECT count(*) FROM git_accounts WHERE budget_id IS NOT NULL";
        assert_eq!(value::<i64>(stack, spending).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_refresh_of_refs_that_change_the_budget_asks_the_host_all_the_same() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(none()).await;
        let holder = Holder::of(stack, LOCK_BUDGETS).await;
        let refreshing = async {
            until_blocked(stack, 1).await;
            let request = v1::RefreshChatRequest {
                chat_id: chat.id.clone(),
            };
            let response = stack.chats(&owner.caller).refresh_chat(request).await;
            response.unwrap().into_inner().chat.unwrap()
        };
        let meeting = async {
            until_blocked(stack, 2).await;
            holder.let_go().await;
            let lease = worker.wait_for_lease().await.into_iter().next();
            let lease = Leased(lease.expect("the ref is due"));
            assert_eq!(lease.access_token(), Some("ghp_other"));
            worker
                .finish(&lease, vec![outcome(lease.git_ref(), found())])
                .await;
        };
        let (_, refreshed, ()) = tokio::join!(owner.link("ghp_other"), refreshing, meeting);
        assert_eq!(refreshed.diff_status.unwrap().pr_number, Some(7));
    })
    .await;
}

#[tokio::test]
async fn archiving_takes_no_ref_before_one_of_a_smaller_id() {
    let database = testkit::postgres::database().await;
    // An index names the refs by branch: the later one first.
    database
        .client()
        .await
        .batch_execute(&format!(
            "ALTER DATABASE {name} SET enable_seqscan = off;
             ALTER DATABASE {name} SET enable_bitmapscan = off",
            name = database.name()
        ))
        .await
        .unwrap();
    Stack::run_on(
        database,
        |_, _| {},
        async |stack| {
            let owner = Owner::linked(stack).await;
            let chat = owner.chat("b").await;
            Worker::of(stack).answer(found()).await;
            owner.report(&chat.id, "a").await;
            let holder = Holder::of(
                stack,
                "SELECT FROM git_ref_polls WHERE ref_id = (SELECT id FROM git_refs WHERE git_branch = 'b') FOR UPDATE",
            )
            .await;
            let meeting = async {
                until_blocked(stack, 1).await;
                holder
                    .run(
                        "SELECT FROM git_ref_polls
                         WHERE ref_id = (SELECT id FROM git_refs WHERE git_branch = 'a')
                         FOR UPDATE NOWAIT",
                    )
                    .await;
                holder.let_go().await;
            };
            tokio::join!(set_archived(&owner, &chat.id, true), meeting);
            assert!(owner.get(&chat.id).await.archived);
        },
    )
    .await;
}

#[tokio::test]
async fn an_update_that_a_deadlock_ended_is_done_again() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        // As some transaction would that locks in another order: a ref, then the chat. Its own wait
        // begins first and is the longer one, so that the service's statement is the one that ends.
        let holder = Holder::of(
            stack,
            "SET LOCAL deadlock_timeout = '1min'; SELECT FROM git_ref_polls FOR UPDATE",
        )
        .await;
        let meeting = async {
            until_blocked(stack, 1).await;
            holder.run("SELECT FROM chats FOR UPDATE").await;
            holder.let_go().await;
        };
        tokio::join!(set_archived(&owner, &chat.id, true), meeting);
        assert!(owner.get(&chat.id).await.archived);
        assert!(worker.lease().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_ref_that_left_the_leased_budget_takes_no_outcome_of_that_lease() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        owner.unlink().await;
        let statuses = worker
            .finish(&lease, vec![outcome(lease.git_ref(), found())])
            .await;
        assert_eq!(statuses, [OutcomeResultStatus::Rejected]);
        assert_eq!(owner.status(&chat.id).await.pr_number, None);
        assert!(worker.lease().await.is_empty(), "nothing is linked");
        assert_eq!(forgotten(stack).await, 0);
        let late = worker.try_report(crate::worker::report(&lease.0.lease_token, Vec::new()));
        assert_eq!(refused(late.await).1, "LEASE_LOST");
    })
    .await;
}
