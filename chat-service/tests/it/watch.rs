//! `WatchChats`: who hears of what.

use proto::chat::v1::{
    ChatStatus, Subject, UpdateChatRequest, UpdateChatSharingRequest, WatchChatsRequest,
    WatchChatsResponse, WatchEventKind, subject,
};
use tonic::{Code, Streaming};

use crate::stack::{Caller, Stack, facts};

pub(crate) async fn watch(stack: &Stack, caller: &Caller) -> Streaming<WatchChatsResponse> {
    let mut stream = stack
        .chats(caller)
        .watch_chats(WatchChatsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let first = next(&mut stream).await;
    assert_eq!(
        (first.kind(), first.chat),
        (WatchEventKind::Unspecified, None)
    );
    assert!(!first.revision.is_empty());
    stream
}

pub(crate) async fn next(stream: &mut Streaming<WatchChatsResponse>) -> WatchChatsResponse {
    tokio::time::timeout(testkit::wait::PATIENCE, stream.message())
        .await
        .expect("no message came")
        .unwrap()
        .expect("the stream ended")
}

fn share_with(chat: &str, caller: &Caller) -> UpdateChatSharingRequest {
    UpdateChatSharingRequest {
        chat_id: chat.to_owned(),
        add_readers: vec![Subject {
            subject: Some(subject::Subject::UserId(caller.id())),
        }],
        ..UpdateChatSharingRequest::default()
    }
}

fn set_status(chat: &str, status: ChatStatus) -> UpdateChatRequest {
    UpdateChatRequest {
        chat_id: chat.to_owned(),
        status: Some(status.into()),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["status".to_owned()],
        }),
        ..UpdateChatRequest::default()
    }
}

#[tokio::test]
async fn a_watcher_hears_of_what_it_may_read_and_of_nothing_else() {
    Stack::run(async |stack| {
        let (owner, stranger) = (Caller::user(), Caller::user());
        let mut owners = watch(stack, &owner).await;
        let mut strangers = watch(stack, &stranger).await;
        let chat = stack.chat(&owner).await;
        let created = next(&mut owners).await;
        assert_eq!(
            (created.kind(), created.chat.as_ref()),
            (WatchEventKind::Created, Some(&chat))
        );
        stack
            .chats(&owner)
            .update_chat(set_status(&chat.id, ChatStatus::Error))
            .await
            .unwrap();
        let changed = next(&mut owners).await;
        assert_eq!(changed.kind(), WatchEventKind::StatusChanged);
        assert_eq!(changed.chat.unwrap().icon, "error-triangle");
        // The first thing that the stranger hears of is the stranger's own chat.
        let own = stack.chat(&stranger).await;
        let heard = next(&mut strangers).await;
        assert_eq!(
            (heard.kind(), heard.chat),
            (WatchEventKind::Created, Some(own))
        );
    })
    .await;
}

#[tokio::test]
async fn removing_a_share_ends_the_flow_with_access_lost() {
    Stack::run(async |stack| {
        let (owner, reader) = (Caller::user(), Caller::user());
        // The chat's own event is placed: no later one is coalesced with it.
        let mut owners = watch(stack, &owner).await;
        let chat = stack.chat(&owner).await;
        assert_eq!(next(&mut owners).await.kind(), WatchEventKind::Created);
        let mut stream = watch(stack, &reader).await;
        let share = share_with(&chat.id, &reader);
        stack
            .chats(&owner)
            .update_chat_sharing(share.clone())
            .await
            .unwrap();
        let shared = next(&mut stream).await;
        assert_eq!(shared.kind(), WatchEventKind::Updated);
        assert_eq!(shared.chat.unwrap().title, chat.title);
        let unshare = UpdateChatSharingRequest {
            add_readers: Vec::new(),
            remove: share.add_readers,
            ..share
        };
        stack
            .chats(&owner)
            .update_chat_sharing(unshare)
            .await
            .unwrap();
        let lost = next(&mut stream).await;
        assert_eq!(lost.kind(), WatchEventKind::AccessLost);
        let lost = lost.chat.unwrap();
        assert_eq!(
            (lost.id.as_str(), lost.title.as_str()),
            (chat.id.as_str(), "")
        );
        // What happens to the chat afterwards is not heard: the next message is of another chat.
        stack
            .chats(&owner)
            .update_chat(set_status(&chat.id, ChatStatus::Error))
            .await
            .unwrap();
        let own = stack.chat(&reader).await;
        assert_eq!(next(&mut stream).await.chat.unwrap().id, own.id);
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() {
    Stack::run(async |stack| {
        let soon = jiff::Timestamp::now().as_second() + 2;
        let caller = Caller::user().expires(soon);
        let mut stream = watch(stack, &caller).await;
        let ended = tokio::time::timeout(testkit::wait::PATIENCE, stream.message())
            .await
            .unwrap();
        assert_eq!(
            facts(&ended.unwrap_err()),
            (
                Code::Unauthenticated,
                "CREDENTIALS_INVALID".to_owned(),
                None
            )
        );
    })
    .await;
}

#[tokio::test]
async fn an_old_revision_is_answered_with_resync_and_a_malformed_one_refused() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        stack.chat(&owner).await;
        let mut live = watch(stack, &owner).await;
        stack.chat(&owner).await;
        let seen = next(&mut live).await.revision;
        stack.chat(&owner).await;
        next(&mut live).await;
        let request = |revision: &str| WatchChatsRequest {
            since_revision: Some(revision.to_owned()),
            ..WatchChatsRequest::default()
        };
        let mut stream = stack
            .chats(&owner)
            .watch_chats(request(&seen))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(next(&mut stream).await.kind(), WatchEventKind::Unspecified);
        assert_eq!(next(&mut stream).await.kind(), WatchEventKind::Resync);
        let status = stack
            .chats(&owner)
            .watch_chats(request("yesterday"))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    })
    .await;
}

#[tokio::test]
async fn a_drain_ends_streams_with_unavailable() {
    Stack::run(async |stack| {
        let mut stream = watch(stack, &Caller::user()).await;
        stack.stop.cancel();
        let ended = stream.message().await.unwrap_err();
        assert_eq!(ended.code(), Code::Unavailable);
    })
    .await;
}
