//! Viewed refs are refreshed sooner; a caller that may merely read everything does not count as a
//! viewer.

mod most;

use proto::chat::v1;
use uuid::Uuid;

use crate::{
    stack::{Caller, Stack},
    worker::{Leased, Owner, Worker, failed, found, outcome, pull_request, settle_all, value},
};

/// A chat whose open pull request is looked up again in an hour.
async fn settled_chat<'a>(stack: &'a Stack) -> (Owner<'a>, v1::Chat) {
    settled_chat_of(stack, found()).await
}

async fn settled_chat_of(stack: &Stack, result: v1::outcome::Result) -> (Owner<'_>, v1::Chat) {
    let owner = Owner::linked(stack).await;
    let chat = stack.chat(&owner.caller).await;
    owner.report(&chat.id, "feat/x").await;
    // Others may be due since they were viewed.
    let worker = Worker::of(stack);
    let own: Uuid = value(
        stack,
        &format!("SELECT id FROM git_refs WHERE chat_id = '{}'", chat.id),
    )
    .await;
    for lease in worker.lease().await.into_iter().map(Leased) {
        let outcomes = lease
            .refs()
            .into_iter()
            .filter(|git_ref| git_ref.git_ref_id == own.to_string())
            .map(|git_ref| outcome(git_ref, result.clone()))
            .collect();
        worker.finish(&lease, outcomes).await;
    }
    stack
        .database
        .client()
        .await
        .batch_execute(&format!(
            "UPDATE git_ref_polls SET refreshed_at = now() - interval '10 min',
                due_at = now() + interval '1 h', early_at = now() + interval '1 h', lane = 4
             WHERE ref_id = '{own}'"
        ))
        .await
        .unwrap();
    settle_all(stack).await;
    (owner, chat)
}

async fn read(stack: &Stack, caller: &Caller, chat: &str) {
    let request = v1::GetChatRequest {
        chat_id: chat.to_owned(),
        ..v1::GetChatRequest::default()
    };
    stack.chats(caller).get_chat(request).await.unwrap();
}

async fn is_viewed(stack: &Stack, chat: &str) -> bool {
    value(
        stack,
        &format!(
            "SELECT (p.viewed_until > now()) IS TRUE
             FROM git_ref_polls p JOIN git_refs r ON r.id = p.ref_id
             WHERE r.chat_id = '{chat}'"
        ),
    )
    .await
}

async fn until_viewed(stack: &Stack, chat: &str) {
    testkit::wait::until("the chat is noted as viewed", || async {
        if is_viewed(stack, chat).await {
            Ok(())
        } else {
            Err(())
        }
    })
    .await;
}

/// Views are noted in order: once this is viewed, all before it are.
async fn until_all_noted(stack: &Stack) {
    let (owner, last) = settled_chat(stack).await;
    read(stack, &owner.caller, &last.id).await;
    until_viewed(stack, &last.id).await;
}

async fn share(stack: &Stack, owner: &Caller, chat: &str, subject: v1::Subject) {
    let request = v1::UpdateChatSharingRequest {
        chat_id: chat.to_owned(),
        add_readers: vec![subject],
        ..v1::UpdateChatSharingRequest::default()
    };
    stack
        .chats(owner)
        .update_chat_sharing(request)
        .await
        .unwrap();
}

fn user(caller: &Caller) -> v1::Subject {
    v1::Subject {
        subject: Some(v1::subject::Subject::UserId(caller.id())),
    }
}

fn group(id: Uuid) -> v1::Subject {
    v1::Subject {
        subject: Some(v1::subject::Subject::GroupId(id.to_string())),
    }
}

#[tokio::test]
async fn a_chat_that_its_owner_reads_is_viewed_and_due_soon() {
    Stack::run(async |stack| {
        let (owner, chat) = settled_chat(stack).await;
        let worker = Worker::of(stack);
        assert!(worker.lease().await.is_empty());
        read(stack, &owner.caller, &chat.id).await;
        let lease = Leased(worker.wait_for_lease().await.remove(0));
        assert!(lease.git_ref().viewed);
        assert_eq!(lease.git_ref().lane(), v1::Lane::Viewed);
        let left: f64 = value(
            stack,
            "SELECT extract(epoch FROM viewed_until - now())::float8 FROM git_ref_polls",
        )
        .await;
        assert!((90.0..=120.0).contains(&left), "{left}");
    })
    .await;
}

#[tokio::test]
async fn what_was_just_refreshed_is_due_fifteen_seconds_later() {
    Stack::run(async |stack| {
        let (owner, chat) = settled_chat(stack).await;
        let client = stack.database.client().await;
        client
            .batch_execute("UPDATE git_ref_polls SET refreshed_at = now()")
            .await
            .unwrap();
        read(stack, &owner.caller, &chat.id).await;
        until_viewed(stack, &chat.id).await;
        let exact: bool = value(
            stack,
            "SELECT p.due_at = p.refreshed_at + interval '15 s' AND p.lane = 2
                AND (a.next_due_at, a.lane) = (p.due_at, p.lane)
                AND (b.queue_at, b.lane) = (p.due_at, p.lane)
             FROM git_ref_polls p
             JOIN git_accounts a ON a.id = p.account_id
             JOIN git_budgets b ON b.id = a.budget_id",
        )
        .await;
        assert!(exact);
    })
    .await;
}

#[tokio::test]
async fn who_a_chat_is_shared_with_counts_directly_or_by_a_group() {
    Stack::run(async |stack| {
        let (owner, chat) = settled_chat(stack).await;
        let friend = Caller::user();
        share(stack, &owner.caller, &chat.id, user(&friend)).await;
        read(stack, &friend, &chat.id).await;
        until_viewed(stack, &chat.id).await;

        let (owner, chat) = settled_chat(stack).await;
        let team = Uuid::now_v7();
        let member = Caller::user().group(team);
        share(stack, &owner.caller, &chat.id, group(team)).await;
        read(stack, &member, &chat.id).await;
        until_viewed(stack, &chat.id).await;
    })
    .await;
}

#[tokio::test]
async fn an_auditors_or_admins_or_services_reading_counts_for_nothing() {
    Stack::run(async |stack| {
        let (owner, chat) = settled_chat(stack).await;
        for caller in [
            Caller::user().site("auditor"),
            Caller::user().site("admin"),
            Caller::internal(),
        ] {
            read(stack, &caller, &chat.id).await;
        }
        until_all_noted(stack).await;
        assert!(!is_viewed(stack, &chat.id).await);
        // A list is no view either.
        stack
            .chats(&owner.caller)
            .get_chats(v1::GetChatsRequest::default())
            .await
            .unwrap();
        until_all_noted(stack).await;
        assert!(!is_viewed(stack, &chat.id).await);
    })
    .await;
}

#[tokio::test]
async fn a_view_of_what_is_being_written_is_dropped_and_delays_no_other() {
    Stack::run(async |stack| {
        let watcher = Caller::user();
        let mut chats = Vec::new();
        for _ in 0..3 {
            let (owner, chat) = settled_chat(stack).await;
            share(stack, &owner.caller, &chat.id, user(&watcher)).await;
            chats.push(chat.id);
        }
        let [first, locked, last] = &chats[..] else {
            unreachable!("three chats");
        };
        let client = stack.database.client().await;
        client
            .batch_execute(&format!(
                "BEGIN;
                 SELECT FROM git_ref_polls p JOIN git_refs r ON r.id = p.ref_id
                 WHERE r.chat_id = '{locked}' FOR UPDATE OF p"
            ))
            .await
            .unwrap();
        let stream = stack
            .chats(&watcher)
            .watch_chats(v1::WatchChatsRequest::default())
            .await
            .unwrap();
        until_viewed(stack, first).await;
        until_viewed(stack, last).await;
        assert!(!is_viewed(stack, locked).await);
        client.batch_execute("ROLLBACK").await.unwrap();
        until_all_noted(stack).await;
        drop(stream);
    })
    .await;
}

#[tokio::test]
async fn a_chat_is_noted_at_most_once_a_minute() {
    Stack::run(async |stack| {
        let (owner, chat) = settled_chat(stack).await;
        read(stack, &owner.caller, &chat.id).await;
        until_viewed(stack, &chat.id).await;
        stack
            .database
            .client()
            .await
            .batch_execute("UPDATE git_ref_polls SET viewed_until = NULL")
            .await
            .unwrap();
        for _ in 0..5 {
            read(stack, &owner.caller, &chat.id).await;
        }
        until_all_noted(stack).await;
        assert!(!is_viewed(stack, &chat.id).await);
    })
    .await;
}

#[tokio::test]
async fn viewing_lifts_no_pause_and_no_problem_and_wakes_nothing_that_is_settled() {
    Stack::run(async |stack| {
        let (paused, paused_chat) = settled_chat(stack).await;
        stack
            .database
            .client()
            .await
            .batch_execute(
                "UPDATE git_budgets SET paused_until = now() + interval '1 h',
                    pause_class = 'rate_limited', pause_lane = 1",
            )
            .await
            .unwrap();
        let (failing, failing_chat) =
            settled_chat_of(stack, failed(v1::ProblemClass::AccessDenied)).await;
        // Another pull request: a change of the same one would make the first due.
        let settled = v1::PullRequest {
            state: v1::PullRequestState::Merged.into(),
            host_id: Some("PR_8".to_owned()),
            number: 8,
            ..pull_request()
        };
        let (merged, merged_chat) =
            settled_chat_of(stack, v1::outcome::Result::Found(settled)).await;
        for (owner, chat) in [
            (&paused, &paused_chat),
            (&failing, &failing_chat),
            (&merged, &merged_chat),
        ] {
            read(stack, &owner.caller, &chat.id).await;
            until_viewed(stack, &chat.id).await;
            let status = owner.status(&chat.id).await;
            let next = status.next_refresh_at.unwrap().seconds;
            let now = jiff::Timestamp::now().as_second();
            assert!(next > now + 50 * 60, "{status:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_failed_since_its_host_did_not_answer_is_due_when_it_is_looked_at() {
    Stack::run(async |stack| {
        let (owner, chat) = settled_chat_of(stack, failed(v1::ProblemClass::HostUnavailable)).await;
        read(stack, &owner.caller, &chat.id).await;
        until_viewed(stack, &chat.id).await;
        let next = owner.status(&chat.id).await.next_refresh_at.unwrap();
        assert!(
            next.seconds <= jiff::Timestamp::now().as_second(),
            "{next:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_watcher_views_its_own_chats_and_those_shared_with_it() {
    Stack::run(async |stack| {
        let (owner, own) = settled_chat(stack).await;
        let (friend, shared) = settled_chat(stack).await;
        share(stack, &friend.caller, &shared.id, user(&owner.caller)).await;
        let (_stranger, strange) = settled_chat(stack).await;
        let stream = stack
            .chats(&owner.caller)
            .watch_chats(v1::WatchChatsRequest::default())
            .await
            .unwrap()
            .into_inner();
        until_viewed(stack, &own.id).await;
        until_viewed(stack, &shared.id).await;
        until_all_noted(stack).await;
        assert!(!is_viewed(stack, &strange.id).await);
        drop(stream);
    })
    .await;
}

#[tokio::test]
async fn a_watcher_of_one_owner_views_only_that_owners_chats() {
    Stack::run(async |stack| {
        let (owner, own) = settled_chat(stack).await;
        let (friend, shared) = settled_chat(stack).await;
        share(stack, &friend.caller, &shared.id, user(&owner.caller)).await;
        let request = v1::WatchChatsRequest {
            owner_id: Some(friend.caller.id()),
            ..v1::WatchChatsRequest::default()
        };
        let stream = stack
            .chats(&owner.caller)
            .watch_chats(request)
            .await
            .unwrap()
            .into_inner();
        until_viewed(stack, &shared.id).await;
        until_all_noted(stack).await;
        assert!(!is_viewed(stack, &own.id).await);
        drop(stream);
    })
    .await;
}

#[tokio::test]
async fn a_watcher_of_ids_views_only_the_chats_that_count() {
    Stack::run(async |stack| {
        let (owner, own) = settled_chat(stack).await;
        let (friend, shared) = settled_chat(stack).await;
        share(stack, &friend.caller, &shared.id, user(&owner.caller)).await;
        let (_stranger, strange) = settled_chat(stack).await;
        let auditor = owner.caller.clone().site("auditor");
        let request = v1::WatchChatsRequest {
            chat_ids: vec![shared.id.clone(), strange.id.clone()],
            ..v1::WatchChatsRequest::default()
        };
        let stream = stack.chats(&auditor).watch_chats(request).await;
        let stream = stream.unwrap().into_inner();
        until_viewed(stack, &shared.id).await;
        until_all_noted(stack).await;
        for other in [&own.id, &strange.id] {
            assert!(!is_viewed(stack, other).await);
        }
        drop(stream);
    })
    .await;
}

#[tokio::test]
async fn an_auditor_who_watches_everything_views_nothing() {
    Stack::run(async |stack| {
        let (_owner, chat) = settled_chat(stack).await;
        let auditor = Caller::user().site("auditor");
        let stream = stack
            .chats(&auditor)
            .watch_chats(v1::WatchChatsRequest::default())
            .await
            .unwrap()
            .into_inner();
        until_all_noted(stack).await;
        assert!(!is_viewed(stack, &chat.id).await);
        drop(stream);
    })
    .await;
}
