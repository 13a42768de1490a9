//! What somebody waits for comes before everybody else's, and does not crowd it out.

use proto::chat::v1;
use tonic::Request;

use crate::{
    stack::Stack,
    worker::{Leased, Owner, Worker, found, make_all_due, none, outcome, request},
};

/// A chat whose ref is due, and is in a budget of its own.
async fn due_chat<'a>(stack: &'a Stack, branch: &str) -> (Owner<'a>, v1::Chat) {
    let owner = Owner::linked(stack).await;
    let chat = owner.chat(branch).await;
    (owner, chat)
}

/// Somebody refreshes the chat and gives up.
async fn ask(owner: &Owner<'_>, chat: &v1::Chat) {
    let mut request = Request::new(v1::RefreshChatRequest {
        chat_id: chat.id.clone(),
    });
    request.set_timeout(std::time::Duration::from_millis(200));
    let answer = owner.stack.chats(&owner.caller).refresh_chat(request).await;
    assert!(answer.is_err(), "nobody answers");
}

async fn lease(worker: &Worker, max_refs: i32) -> Vec<Leased> {
    let mut some = request();
    some.max_refs = max_refs;
    let leases = worker.try_lease(some).await.unwrap();
    leases.into_iter().map(Leased).collect()
}

fn branches(leases: &[Leased]) -> Vec<&str> {
    let mut branches: Vec<&str> = leases
        .iter()
        .flat_map(Leased::refs)
        .map(|git_ref| git_ref.branch.as_str())
        .collect();
    branches.sort_unstable();
    branches
}

#[tokio::test]
async fn what_somebody_waits_for_is_leased_before_what_is_due_for_longer() {
    Stack::run(async |stack| {
        for number in 0..4 {
            due_chat(stack, &format!("due/{number}")).await;
        }
        let (owner, chat) = due_chat(stack, "asked").await;
        ask(&owner, &chat).await;
        let worker = Worker::of(stack);
        let leases = lease(&worker, 2).await;
        assert_eq!(branches(&leases), ["asked", "due/0"]);
    })
    .await;
}

#[tokio::test]
async fn what_many_wait_for_leaves_half_of_a_batch_to_others() {
    Stack::run(async |stack| {
        let mut asked = Vec::new();
        for number in 0..4 {
            asked.push(due_chat(stack, &format!("asked/{number}")).await);
        }
        for number in 0..4 {
            due_chat(stack, &format!("due/{number}")).await;
        }
        for (owner, chat) in &asked {
            ask(owner, chat).await;
            // A second ref of the same budget does not count for more.
            let second = owner.chat("asked/second").await;
            ask(owner, &second).await;
        }
        // Since the budgets of the others are due last.
        stack
            .database
            .client()
            .await
            .batch_execute(
                "UPDATE git_budgets SET next_due_at = next_due_at - interval '1 min'
                 WHERE next_due_at IS NOT NULL AND interactive_since IS NOT NULL",
            )
            .await
            .unwrap();
        let leases = lease(&Worker::of(stack), 8).await;
        let leased = branches(&leases);
        let others = leased
            .iter()
            .filter(|branch| branch.starts_with("due/"))
            .count();
        assert_eq!((leased.len(), others), (8, 4), "{leased:?}");
    })
    .await;
}

#[tokio::test]
async fn nobody_waits_any_more_once_it_was_looked_up() {
    Stack::run(async |stack| {
        let waiting = || async {
            let row = stack
                .database
                .client()
                .await
                .query_one(
                    "SELECT count(*) FROM git_budgets WHERE interactive_since IS NOT NULL",
                    &[],
                )
                .await
                .unwrap();
            row.try_get::<_, i64>(0).unwrap()
        };
        let (owner, chat) = due_chat(stack, "asked").await;
        ask(&owner, &chat).await;
        assert_eq!(waiting().await, 1);
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        assert_eq!(waiting().await, 0);

        // A lookup that began before a push does not answer it; somebody still waits.
        ask(&owner, &chat).await;
        let lease = worker.lease_one().await;
        crate::worker::report_earlier(stack).await;
        owner.report(&chat.id, "asked").await;
        worker
            .finish(&lease, vec![outcome(lease.git_ref(), none())])
            .await;
        assert_eq!(waiting().await, 1);
        // Nor does linking another account.
        owner.link("ghp_other").await;
        assert_eq!(waiting().await, 1);
        worker.answer(found()).await;
        assert_eq!(waiting().await, 0);
        make_all_due(stack).await;
        assert_eq!(waiting().await, 0);
    })
    .await;
}
