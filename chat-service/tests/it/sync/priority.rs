//! What a person waits for comes before everything else, and does not crowd it out.

use std::time::Duration;

use proto::chat::v1::{self, Lane};
use tonic::Request;

use super::queue::lease;
use crate::{
    stack::Stack,
    worker::{Leased, Owner, Worker, found, make_all_due, none, outcome, report, report_earlier},
};

/// A chat whose ref is due, and is in a budget of its own.
async fn due_chat<'a>(stack: &'a Stack, branch: &str) -> (Owner<'a>, v1::Chat) {
    let owner = Owner::linked(stack).await;
    let chat = owner.chat(branch).await;
    (owner, chat)
}

/// A person refreshes the chat and gives up.
async fn ask(owner: &Owner<'_>, chat: &v1::Chat) {
    let mut request = Request::new(v1::RefreshChatRequest {
        chat_id: chat.id.clone(),
    });
    request.set_timeout(Duration::from_millis(200));
    let answer = owner.stack.chats(&owner.caller).refresh_chat(request).await;
    assert!(answer.is_err(), "no worker answers");
}

fn branches(leases: &[Leased]) -> Vec<&str> {
    let mut branches: Vec<&str> = leases.iter().flat_map(Leased::branches).collect();
    branches.sort_unstable();
    branches
}

#[tokio::test]
async fn what_a_person_waits_for_is_leased_before_what_is_due_for_longer() {
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

/// The lane of the one ref that is leased next.
async fn next_lane(stack: &Stack, worker: &Worker) -> (Leased, Lane) {
    make_all_due(stack).await;
    let lease = worker.lease_one().await;
    let lane = lease.git_ref().lane();
    (lease, lane)
}

#[tokio::test]
async fn a_ref_is_waited_for_until_it_was_looked_up() {
    Stack::run(async |stack| {
        let (owner, chat) = due_chat(stack, "asked").await;
        let worker = Worker::of(stack);
        ask(&owner, &chat).await;
        // A lookup that began before a push does not answer it.
        let (lease, lane) = next_lane(stack, &worker).await;
        assert_eq!(lane, Lane::Interactive);
        report_earlier(stack).await;
        owner.report(&chat.id, "asked").await;
        worker
            .finish(&lease, vec![outcome(lease.git_ref(), none())])
            .await;
        // Nor does linking another account.
        owner.link("ghp_other").await;
        let (lease, lane) = next_lane(stack, &worker).await;
        assert_eq!(lane, Lane::Interactive);
        worker
            .finish(&lease, vec![outcome(lease.git_ref(), found())])
            .await;
        assert_eq!(next_lane(stack, &worker).await.1, Lane::Active);
    })
    .await;
}

#[tokio::test]
async fn the_holder_of_a_lease_hears_that_a_person_has_come_to_wait_for_its_budget() {
    Stack::run(async |stack| {
        let (owner, chat) = due_chat(stack, "asked").await;
        let worker = Worker::of(stack);
        // Who waits when it begins is served by it.
        ask(&owner, &chat).await;
        let lease = worker.lease_one().await;
        let token = &lease.0.lease_token;
        assert!(!worker.renew(token).await.unwrap());
        let second = owner.chat("asked/second").await;
        assert!(!worker.renew(token).await.unwrap(), "a report is no person");
        ask(&owner, &second).await;
        assert!(worker.renew(token).await.unwrap());
        let mut partial = report(token, vec![outcome(lease.git_ref(), found())]);
        partial.release_lease = false;
        assert!(worker.report(partial).await.unwrap().awaited);

        // It ends its turn, and the next one begins with what is waited for.
        worker.release(token).await;
        let lease = worker.lease_one().await;
        assert_eq!(lease.git_ref().branch, "asked/second");
        assert_eq!(lease.git_ref().lane(), Lane::Interactive);
        assert!(!worker.renew(&lease.0.lease_token).await.unwrap());
    })
    .await;
}
