//! One branch has one pull request, for the chats of all owners.

use proto::chat::v1;
use uuid::Uuid;

use crate::{
    stack::Stack,
    worker::{
        Leased, Owner, Worker, found, found_in, none, outcome, pull_request, report_earlier, run,
        settle_all, value,
    },
};

/// Another open pull request of the branch.
fn another() -> v1::outcome::Result {
    v1::outcome::Result::Found(v1::PullRequest {
        number: 8,
        url: "https://github.com/acme/web/pull/8".to_owned(),
        host_id: Some("PR_8".to_owned()),
        ..pull_request()
    })
}

/// A new owner with a chat on `branch`, of which `result` was found.
async fn on_branch<'a>(
    stack: &'a Stack,
    branch: &str,
    result: v1::outcome::Result,
) -> (Owner<'a>, v1::Chat) {
    // What was made due for its branch meanwhile is not leased along with it.
    run(
        stack,
        "UPDATE git_ref_polls SET due_at = now() + interval '1 h',
            early_at = now() + interval '1 h'",
    )
    .await;
    settle_all(stack).await;
    let owner = Owner::linked(stack).await;
    let chat = owner.chat(branch).await;
    Worker::of(stack).answer(result).await;
    (owner, chat)
}

/// Whether the primary ref of the chat is due within 5 s.
async fn due_soon(stack: &Stack, chat: &v1::Chat) -> bool {
    let chat: Uuid = chat.id.parse().unwrap();
    value(
        stack,
        &format!(
            "SELECT (p.due_at <= now() + interval '5 s') IS TRUE
             FROM git_ref_polls p JOIN git_refs r ON r.id = p.ref_id
             WHERE r.chat_id = '{chat}' AND r.is_primary"
        ),
    )
    .await
}

/// Has the chat's ref reported again, and another pull request found of it.
async fn turn(stack: &Stack, owner: &Owner<'_>, chat: &v1::Chat) {
    report_earlier(stack).await;
    owner.report(&chat.id, "feat/x").await;
    Worker::of(stack).answer(another()).await;
}

#[tokio::test]
async fn when_a_chat_turns_to_another_pull_request_its_branchs_other_chats_are_asked_about_it() {
    Stack::run(async |stack| {
        let (one, first) = on_branch(stack, "feat/x", found()).await;
        let (other, second) = on_branch(stack, "feat/x", found()).await;
        let (_, elsewhere) = on_branch(stack, "feat/y", found()).await;
        turn(stack, &one, &first).await;
        assert!(due_soon(stack, &second).await);
        assert!(!due_soon(stack, &elsewhere).await, "of another branch");
        let shown = other.status(&second.id).await;
        assert_eq!(shown.pr_number, Some(7), "each finds it by itself");

        run(
            stack,
            "UPDATE git_ref_polls SET due_at = now(), early_at = now()
             WHERE due_at <= now() + interval '5 s'",
        )
        .await;
        settle_all(stack).await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let asked = lease.git_ref();
        let seconds = |duration: &Option<prost_types::Duration>| {
            let duration = duration.unwrap();
            f64::from(duration.nanos) / 1e9 + f64::from(u32::try_from(duration.seconds).unwrap())
        };
        assert!(
            seconds(&asked.since_found) > seconds(&asked.since_reported),
            "what is known was found before the report: the branch is asked about"
        );
        worker.finish(&lease, vec![outcome(asked, another())]).await;
        assert_eq!(other.status(&second.id).await.pr_number, Some(8));
        assert!(!due_soon(stack, &first).await, "they agree");
    })
    .await;
}

#[tokio::test]
async fn the_first_pull_request_of_a_branch_is_looked_for_by_its_other_chats() {
    Stack::run(async |stack| {
        let (_, waits) = on_branch(stack, "feat/x", none()).await;
        on_branch(stack, "feat/x", found()).await;
        assert!(due_soon(stack, &waits).await);
    })
    .await;
}

#[tokio::test]
async fn chats_that_know_as_much_or_a_settled_one_or_are_archived_keep_their_time() {
    Stack::run(async |stack| {
        let (one, first) = on_branch(stack, "feat/x", found()).await;
        let (_, agrees) = on_branch(stack, "feat/x", another()).await;
        let merged = found_in(v1::PullRequestState::Merged);
        let (_, settled) = on_branch(stack, "feat/x", merged).await;
        let (_, archived) = on_branch(stack, "feat/x", found()).await;
        run(
            stack,
            &format!(
                "UPDATE chats SET archived = TRUE WHERE id = '{}';
                 UPDATE git_ref_polls SET due_at = now() + interval '1 h',
                    early_at = now() + interval '1 h'",
                archived.id
            ),
        )
        .await;
        settle_all(stack).await;
        turn(stack, &one, &first).await;
        for chat in [&agrees, &settled, &archived] {
            assert!(!due_soon(stack, chat).await);
        }
    })
    .await;
}

/// The turn has decided for all its refs.
#[tokio::test]
async fn refs_of_one_turn_are_not_asked_for_once_more() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        for _ in 0..2 {
            owner.chat("feat/x").await;
        }
        let worker = Worker::of(stack);
        let lease: Leased = worker.lease_one().await;
        for (number, git_ref) in lease.refs().into_iter().enumerate() {
            let outcomes = vec![outcome(git_ref, found())];
            let mut part = crate::worker::report(&lease.0.lease_token, outcomes);
            part.release_lease = number == 1;
            worker.try_report(part).await.unwrap();
        }
        settle_all(stack).await;
        assert!(worker.lease().await.is_empty());
    })
    .await;
}
