//! `DeleteChat`: what goes with a chat, who hears of it, and what was under way for it.

use proto::chat::v1::{
    self, OutcomeResultStatus, WatchChatsRequest, WatchChatsResponse, WatchEventKind,
};
use testkit::wait::until;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::{
    lock::{Holder, until_blocked},
    stack::{Caller, Stack, group, refused, user},
    watch::{heard_chat, hears_of_the_next_chat, next_chat, only_id, unshare, watch_with},
    worker::{Owner, Worker, found, git_ref, outcome, value},
};

async fn delete(stack: &Stack, caller: &Caller, chat: &str) -> Result<(), Status> {
    delete_if(stack, caller, chat, None).await
}

async fn delete_if(
    stack: &Stack,
    caller: &Caller,
    chat: &str,
    etag: Option<String>,
) -> Result<(), Status> {
    let request = v1::DeleteChatRequest {
        chat_id: chat.to_owned(),
        etag,
    };
    let deleted = stack.chats(caller).delete_chat(request).await;
    deleted.map(|_| ())
}

fn not_found() -> (Code, String, Option<String>) {
    (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned(), None)
}

#[tokio::test]
async fn a_deleted_chat_goes_with_its_refs_polls_and_shares() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        owner.report(&chat.id, "feat/y").await;
        let readers = vec![group(Uuid::now_v7())];
        stack.share(&owner.caller, &chat.id, readers).await;
        delete(stack, &owner.caller, &chat.id).await.unwrap();
        let left = "SELECT (SELECT count(*) FROM chats) + (SELECT count(*) FROM chat_acl)
            + (SELECT count(*) FROM git_refs) + (SELECT count(*) FROM git_ref_polls)
            + (SELECT count(*) FROM git_budgets WHERE queue_at IS NOT NULL)";
        assert_eq!(value::<i64>(stack, left).await, 0);
        assert!(Worker::of(stack).lease().await.is_empty());
        let get = v1::GetChatRequest {
            chat_id: chat.id.clone(),
            ..v1::GetChatRequest::default()
        };
        let gone = stack.chats(&owner.caller).get_chat(get).await;
        assert_eq!(refused(gone), not_found());
        let again = delete(stack, &owner.caller, &chat.id).await;
        assert_eq!(refused(again), not_found(), "as a retry hears it");
    })
    .await;
}

async fn watch(
    stack: &Stack,
    caller: &Caller,
    owner_id: Option<String>,
) -> Streaming<WatchChatsResponse> {
    let request = WatchChatsRequest {
        owner_id,
        ..WatchChatsRequest::default()
    };
    watch_with(stack, caller, request).await
}

#[tokio::test]
async fn exactly_the_readers_of_a_deleted_chat_receive_its_deletion() {
    Stack::run(async |stack| {
        let team = Uuid::now_v7();
        let (owner, reader) = (Caller::user(), Caller::user().group(team));
        let (stranger, admin) = (Caller::user(), Caller::user().site("admin"));
        let chat = stack.chat(&owner).await;
        stack.share(&owner, &chat.id, vec![group(team)]).await;
        let mut hearing = [
            watch(stack, &owner, None).await,
            watch(stack, &reader, None).await,
            watch(stack, &admin, Some(owner.id())).await,
        ];
        let mut deaf = [
            watch(stack, &stranger, None).await,
            watch(stack, &admin, Some(stranger.id())).await,
        ];
        delete(stack, &owner, &chat.id).await.unwrap();
        for stream in &mut hearing {
            // What came before it may be coalesced with it, or not.
            let deleted = loop {
                let (kind, chat) = next_chat(stream).await;
                if kind == WatchEventKind::Deleted {
                    break chat;
                }
            };
            assert_eq!(deleted, only_id(&chat.id));
        }
        // The first thing that the others hear of is a chat of the stranger's.
        let mark = stack.chat(&stranger).await;
        for stream in &mut deaf {
            assert_eq!(next_chat(stream).await.1, mark);
        }
    })
    .await;
}

#[tokio::test]
async fn whose_share_went_right_before_the_deletion_hears_of_it_once() {
    Stack::run(async |stack| {
        let (owner, reader) = (Caller::user(), Caller::user());
        for together in [false, true] {
            let chat = heard_chat(stack, &owner).await;
            let mut owners = watch(stack, &owner, None).await;
            let mut stream = watch(stack, &reader, None).await;
            stack.share(&owner, &chat.id, vec![user(&reader)]).await;
            assert_eq!(next_chat(&mut stream).await.0, WatchEventKind::Updated);
            assert_eq!(next_chat(&mut owners).await.0, WatchEventKind::Updated);
            let lost = (WatchEventKind::AccessLost, only_id(&chat.id));
            // No event is placed meanwhile: when both are read, the chat is gone.
            let lock = "SELECT FROM change_relay FOR UPDATE";
            let holder = if together { lock } else { "" };
            let holder = Holder::of(stack, holder).await;
            unshare(stack, &owner, &chat.id, vec![user(&reader)]).await;
            if !together {
                assert_eq!(next_chat(&mut stream).await, lost);
            }
            delete(stack, &owner, &chat.id).await.unwrap();
            holder.let_go().await;
            if together {
                assert_eq!(next_chat(&mut stream).await, lost);
            }
            while next_chat(&mut owners).await.0 != WatchEventKind::Deleted {}
            hears_of_the_next_chat(stack, &reader, &mut stream).await;
        }
    })
    .await;
}

/// Chats are deleted every day, and operators hear of outcomes that are rejected.
#[tokio::test]
async fn an_outcome_for_a_deleted_chat_is_superseded_and_the_others_are_applied() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let gone = owner.chat("feat/x").await;
        let kept = owner.chat("feat/y").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        delete(stack, &owner.caller, &gone.id).await.unwrap();
        let outcomes: Vec<_> = lease
            .refs()
            .into_iter()
            .map(|leased| outcome(leased, found()))
            .collect();
        let expected: Vec<_> = lease
            .refs()
            .iter()
            .map(|leased| match leased.branch.as_str() {
                "feat/x" => OutcomeResultStatus::Superseded,
                _ => OutcomeResultStatus::Applied,
            })
            .collect();
        assert_eq!(expected.len(), 2);
        assert_eq!(worker.finish(&lease, outcomes).await, expected);
        assert_eq!(owner.status(&kept.id).await.pr_number, Some(7));
        let late = "SELECT count(*) FROM change_events e
            WHERE NOT EXISTS (SELECT FROM chats c WHERE c.id = e.chat_id)
                AND e.id > (SELECT max(d.id) FROM change_events d WHERE d.kind = 'deleted')";
        assert_eq!(value::<i64>(stack, late).await, 0, "nothing follows it");
    })
    .await;
}

#[tokio::test]
async fn a_refresh_that_waits_for_a_chat_ends_when_that_is_deleted() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let refreshing = async {
            let request = v1::RefreshChatRequest {
                chat_id: chat.id.clone(),
            };
            stack.chats(&owner.caller).refresh_chat(request).await
        };
        let deleting = async {
            until("a call waits", || async {
                let waiting = "SELECT count(*) FROM git_ref_polls WHERE lane = 1";
                let waiting: i64 = value(stack, waiting).await;
                if waiting == 1 { Ok(()) } else { Err(waiting) }
            })
            .await;
            delete(stack, &owner.caller, &chat.id).await.unwrap();
        };
        let (refreshed, ()) = tokio::join!(refreshing, deleting);
        assert_eq!(refused(refreshed), not_found());
    })
    .await;
}

#[tokio::test]
async fn a_report_that_waits_for_a_delete_finds_no_chat() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let holder = Holder::of(stack, "SELECT FROM git_ref_polls FOR UPDATE").await;
        let reporting = async {
            until_blocked(stack, 1).await;
            let request = git_ref(&chat.id, "https://github.com/acme/web", "feat/y");
            stack.chats(&owner.caller).report_git_ref(request).await
        };
        let meeting = async {
            until_blocked(stack, 2).await;
            holder.let_go().await;
        };
        let deleting = delete(stack, &owner.caller, &chat.id);
        let (deleted, reported, ()) = tokio::join!(deleting, reporting, meeting);
        deleted.unwrap();
        assert_eq!(refused(reported), not_found());
        assert_eq!(
            value::<i64>(stack, "SELECT count(*) FROM git_refs").await,
            0
        );
    })
    .await;
}

#[tokio::test]
async fn a_chat_that_changed_since_it_was_read_is_not_deleted() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let update = v1::UpdateChatRequest {
            chat_id: chat.id.clone(),
            title: Some("changed".to_owned()),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["title".to_owned()],
            }),
            ..v1::UpdateChatRequest::default()
        };
        let changed = stack.chats(&owner).update_chat(update).await.unwrap();
        let changed = changed.into_inner().chat.unwrap();
        let outdated = delete_if(stack, &owner, &chat.id, Some(chat.etag)).await;
        let mismatch = (Code::Aborted, "ETAG_MISMATCH".to_owned(), None);
        assert_eq!(refused(outdated), mismatch);
        let current = delete_if(stack, &owner, &chat.id, Some(changed.etag)).await;
        current.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_request_that_made_a_deleted_chat_makes_another() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let request = v1::CreateChatRequest {
            request_id: Some(Uuid::now_v7().to_string()),
            ..v1::CreateChatRequest::default()
        };
        let first = stack.chat_with(&owner, request.clone()).await;
        delete(stack, &owner, &first.id).await.unwrap();
        let second = stack.chat_with(&owner, request).await;
        assert_ne!(second.id, first.id);
    })
    .await;
}
