//! Watchers that resume: nothing that was committed is skipped.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream::select_all};
use proto::chat::v1::{
    ChatStatus, DeleteChatRequest, WatchChatsRequest,
    WatchEventKind::{AccessLost, Created, Deleted, Heartbeat, Resync, StatusChanged},
};
use testkit::wait::PATIENCE;

use super::{
    begin, heard_chat, hears_of_the_next_chat, next, next_chat, only_id, resume, set_status,
    unshare, watch,
};
use crate::{
    lock::Holder,
    prune::{take_over, until_none},
    stack::{Caller, Stack, user},
    worker::run,
};

/// Waits until the service has offered all changes up to now.
async fn until_offered(stack: &Stack) {
    let mut stream = watch(stack, &Caller::user().site("auditor")).await;
    let mark = stack.chat(&Caller::user()).await;
    while next_chat(&mut stream).await.1.id != mark.id {}
}

/// Promise 12.
#[tokio::test]
async fn a_resumed_watcher_receives_the_last_state_of_every_changed_chat_and_nothing_else() {
    Stack::run(async |stack| {
        let (owner, stranger) = (Caller::user(), Caller::user());
        let mut chats = Vec::new();
        for _ in 0..4 {
            chats.push(heard_chat(stack, &owner).await.id);
        }
        let mut live = watch(stack, &owner).await;
        set_status(stack, &owner, &chats[0], ChatStatus::Running).await;
        let seen = next(&mut live).await.revision;
        drop(live);
        for (chat, status) in [
            (0, ChatStatus::Error),
            (1, ChatStatus::Running),
            (2, ChatStatus::Running),
            (1, ChatStatus::Paused),
        ] {
            set_status(stack, &owner, &chats[chat], status).await;
        }
        stack.chat(&stranger).await;
        let made = stack.chat(&owner).await;
        let mut stream = resume(stack, &owner, &seen).await;
        let mut heard = BTreeMap::new();
        while heard.len() < 4 {
            let (kind, chat) = next_chat(&mut stream).await;
            assert!(kind == StatusChanged || kind == Created, "{kind:?}");
            heard.insert(chat.id.clone(), chat.status());
        }
        let expected = [
            (chats[0].clone(), ChatStatus::Error),
            (chats[1].clone(), ChatStatus::Paused),
            (chats[2].clone(), ChatStatus::Running),
            (made.id, ChatStatus::Waiting),
        ];
        assert_eq!(heard, expected.into());
        // And then all that follows.
        set_status(stack, &owner, &chats[3], ChatStatus::Error).await;
        let (_, chat) = next_chat(&mut stream).await;
        assert_eq!((&chat.id, chat.status()), (&chats[3], ChatStatus::Error));
    })
    .await;
}

/// Promise 12, where the events get their numbers in another order than they are committed.
#[tokio::test]
async fn a_late_commit_is_received_after_resuming_from_an_earlier_one() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let (slow, quick) = (
            heard_chat(stack, &owner).await,
            heard_chat(stack, &owner).await,
        );
        let mut live = watch(stack, &owner).await;
        let late = Holder::of(
            stack,
            &format!(
                "UPDATE chats SET status = 'error' WHERE id = '{id}';
                 INSERT INTO change_events (chat_id, kind) VALUES ('{id}', 'status_changed')",
                id = slow.id
            ),
        )
        .await;
        set_status(stack, &owner, &quick.id, ChatStatus::Running).await;
        let seen = next(&mut live).await;
        assert_eq!(seen.chat.unwrap().id, quick.id);
        drop(live);
        late.let_go().await;
        let mut stream = resume(stack, &owner, &seen.revision).await;
        let (_, chat) = next_chat(&mut stream).await;
        assert_eq!(
            (chat.id.clone(), chat.status()),
            (slow.id, ChatStatus::Error)
        );
    })
    .await;
}

#[tokio::test]
async fn who_lost_access_or_the_chat_while_away_hears_so_and_a_stranger_hears_nothing() {
    Stack::run(async |stack| {
        let (owner, reader, stranger) = (Caller::user(), Caller::user(), Caller::user());
        let lost = heard_chat(stack, &owner).await;
        let deleted = heard_chat(stack, &owner).await;
        let mut away = Vec::new();
        for caller in [&reader, &stranger] {
            let (first, _) = begin(stack, caller, WatchChatsRequest::default()).await;
            away.push(first.revision);
        }
        for chat in [&lost, &deleted] {
            stack.share(&owner, &chat.id, vec![user(&reader)]).await;
        }
        unshare(stack, &owner, &lost.id, vec![user(&reader)]).await;
        set_status(stack, &owner, &lost.id, ChatStatus::Error).await;
        let delete = DeleteChatRequest {
            chat_id: deleted.id.clone(),
            etag: None,
        };
        stack.chats(&owner).delete_chat(delete).await.unwrap();
        until_offered(stack).await;
        let mut stream = resume(stack, &reader, &away[0]).await;
        let heard = [next_chat(&mut stream).await, next_chat(&mut stream).await];
        let expected = [
            (AccessLost, only_id(&lost.id)),
            (Deleted, only_id(&deleted.id)),
        ];
        assert_eq!(heard, expected);
        let mut stream = resume(stack, &stranger, &away[1]).await;
        hears_of_the_next_chat(stack, &stranger, &mut stream).await;
    })
    .await;
}

#[tokio::test]
async fn a_revision_older_than_the_kept_events_is_a_resync_and_the_latest_is_not() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let chat = heard_chat(stack, &owner).await;
        let (first, mut live) = begin(stack, &owner, WatchChatsRequest::default()).await;
        set_status(stack, &owner, &chat.id, ChatStatus::Running).await;
        let seen = next(&mut live).await;
        run(
            stack,
            "UPDATE change_events SET recorded_at = recorded_at - interval '2 h'",
        )
        .await;
        take_over(stack).await;
        until_none(stack, "SELECT count(*) FROM change_events").await;
        set_status(stack, &owner, &chat.id, ChatStatus::Error).await;
        let last = next(&mut live).await;
        let mut late = resume(stack, &owner, &first.revision).await;
        let resync = next(&mut late).await;
        assert_eq!((resync.kind(), resync.chat), (Resync, None));
        let mut current = resume(stack, &owner, &seen.revision).await;
        assert_eq!(next(&mut current).await, last);
        // It goes on from there.
        let mut again = resume(stack, &owner, &resync.revision).await;
        set_status(stack, &owner, &chat.id, ChatStatus::Paused).await;
        for stream in [&mut late, &mut current, &mut again] {
            let (kind, chat) = next_chat(stream).await;
            assert_eq!((kind, chat.status()), (StatusChanged, ChatStatus::Paused));
        }
    })
    .await;
}

#[tokio::test]
async fn hundreds_that_resume_cost_one_read_of_each_chat_that_changed() {
    const READ: &str = "chat_watch_chats_read_total";
    Stack::run(async |stack| {
        let owner = Caller::user();
        let (first, live) = begin(stack, &owner, WatchChatsRequest::default()).await;
        let mut chats = Vec::new();
        for _ in 0..20 {
            chats.push(stack.chat(&owner).await.id);
        }
        let before = stack.metric::<u64>(READ).await;
        let resumed = (0..300).map(async |_| {
            let mut stream = resume(stack, &owner, &first.revision).await;
            let mut heard = Vec::new();
            while heard.len() < chats.len() {
                heard.push(next_chat(&mut stream).await.1.id);
            }
            assert_eq!(heard, chats);
            stream
        });
        let streams = futures_util::future::join_all(resumed).await;
        // Chats that were not yet read for the live watcher.
        let read = stack.metric::<u64>(READ).await - before;
        assert!(read <= 20, "{read} reads of 20 chats");
        assert_eq!(stack.metric::<u64>("chat_watchers").await, 301);
        drop((streams, live));
    })
    .await;
}

#[tokio::test]
async fn a_heartbeat_comes_in_time_and_resuming_after_it_misses_nothing() {
    Stack::run(async |stack| {
        let (owner, stranger) = (Caller::user(), Caller::user());
        let chat = heard_chat(stack, &owner).await;
        let mut streams = Vec::new();
        let (first, one) = begin(stack, &owner, WatchChatsRequest::default()).await;
        streams.push(one);
        // Their heartbeats come at different times.
        for _ in 0..20 {
            streams.push(watch(stack, &owner).await);
        }
        // What others do moves the point that was reached on.
        stack.chat(&stranger).await;
        let mut streams = select_all(streams);
        let beat = tokio::time::timeout(PATIENCE, streams.next()).await;
        let beat = beat.unwrap().unwrap().unwrap();
        assert_eq!(
            (beat.kind(), &beat.chat, beat.changed_at),
            (Heartbeat, &None, None)
        );
        assert_ne!(beat.revision, first.revision);
        set_status(stack, &owner, &chat.id, ChatStatus::Error).await;
        let mut stream = resume(stack, &owner, &beat.revision).await;
        let (kind, heard) = next_chat(&mut stream).await;
        assert_eq!((kind, heard.id), (StatusChanged, chat.id));
    })
    .await;
}
