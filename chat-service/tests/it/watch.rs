//! `WatchChats`: who hears of what.

mod access;
mod filter;
mod resume;
mod unread;

use proto::chat::v1::{
    self, ChatStatus, UpdateChatRequest, UpdateChatSharingRequest, WatchChatsRequest,
    WatchChatsResponse, WatchEventKind,
};
use tonic::{Code, Streaming};

use crate::stack::{Caller, Stack, facts};

pub(crate) async fn watch(stack: &Stack, caller: &Caller) -> Streaming<WatchChatsResponse> {
    watch_with(stack, caller, WatchChatsRequest::default()).await
}

/// The same, narrowed.
pub(crate) async fn watch_with(
    stack: &Stack,
    caller: &Caller,
    request: WatchChatsRequest,
) -> Streaming<WatchChatsResponse> {
    begin(stack, caller, request).await.1
}

/// The first message of a watch, and the stream.
pub(crate) async fn begin(
    stack: &Stack,
    caller: &Caller,
    request: WatchChatsRequest,
) -> (WatchChatsResponse, Streaming<WatchChatsResponse>) {
    let stream = stack.chats(caller).watch_chats(request).await;
    let mut stream = stream.unwrap().into_inner();
    let first = any(&mut stream).await;
    assert_eq!(
        (first.kind(), &first.chat),
        (WatchEventKind::Heartbeat, &None)
    );
    assert!(!first.revision.is_empty());
    (first, stream)
}

/// The stream of a watcher that resumes from `revision`, after its first message.
pub(crate) async fn resume(
    stack: &Stack,
    caller: &Caller,
    revision: &str,
) -> Streaming<WatchChatsResponse> {
    let request = WatchChatsRequest {
        since_revision: Some(revision.to_owned()),
        ..WatchChatsRequest::default()
    };
    let (first, stream) = begin(stack, caller, request).await;
    assert_eq!(first.revision, revision, "nothing was heard yet");
    stream
}

/// The next message, whatever it is.
async fn any(stream: &mut Streaming<WatchChatsResponse>) -> WatchChatsResponse {
    tokio::time::timeout(testkit::wait::PATIENCE, stream.message())
        .await
        .expect("no message came")
        .unwrap()
        .expect("the stream ended")
}

/// The next message that says anything.
pub(crate) async fn next(stream: &mut Streaming<WatchChatsResponse>) -> WatchChatsResponse {
    loop {
        let message = any(stream).await;
        if message.kind() != WatchEventKind::Heartbeat {
            return message;
        }
    }
}

/// The next message that is about a chat.
pub(crate) async fn next_chat(
    stream: &mut Streaming<WatchChatsResponse>,
) -> (WatchEventKind, v1::Chat) {
    loop {
        let message = next(stream).await;
        if let Some(chat) = message.chat.clone() {
            return (message.kind(), chat);
        }
    }
}

/// Checks that the next message that says anything is of a new chat of `owner`, which this creates.
pub(crate) async fn hears_of_the_next_chat(
    stack: &Stack,
    owner: &Caller,
    stream: &mut Streaming<WatchChatsResponse>,
) -> WatchChatsResponse {
    let chat = stack.chat(owner).await;
    let heard = next(stream).await;
    assert_eq!(
        (heard.kind(), heard.chat.as_ref()),
        (WatchEventKind::Created, Some(&chat))
    );
    heard
}

/// A new chat of `owner`, whose own event is placed: no later one is coalesced with it.
pub(crate) async fn heard_chat(stack: &Stack, owner: &Caller) -> v1::Chat {
    let mut owners = watch(stack, owner).await;
    let chat = stack.chat(owner).await;
    while next_chat(&mut owners).await.1.id != chat.id {}
    chat
}

/// What is said of a chat that is not shown.
pub(crate) fn only_id(id: &str) -> v1::Chat {
    v1::Chat {
        id: id.to_owned(),
        ..v1::Chat::default()
    }
}

async fn sharing(stack: &Stack, owner: &Caller, request: UpdateChatSharingRequest) {
    let shared = stack.chats(owner).update_chat_sharing(request).await;
    shared.unwrap();
}

/// Takes the chat `id` of `owner` from `subjects`.
pub(crate) async fn unshare(stack: &Stack, owner: &Caller, id: &str, subjects: Vec<v1::Subject>) {
    let request = UpdateChatSharingRequest {
        chat_id: id.to_owned(),
        remove: subjects,
        ..UpdateChatSharingRequest::default()
    };
    sharing(stack, owner, request).await;
}

/// Changes what `path` names of the chat `id`.
async fn update(
    stack: &Stack,
    owner: &Caller,
    id: &str,
    path: &str,
    change: impl FnOnce(&mut UpdateChatRequest),
) {
    let mut request = UpdateChatRequest {
        chat_id: id.to_owned(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec![path.to_owned()],
        }),
        ..UpdateChatRequest::default()
    };
    change(&mut request);
    stack.chats(owner).update_chat(request).await.unwrap();
}

async fn set_status(stack: &Stack, owner: &Caller, id: &str, status: ChatStatus) {
    let set = |request: &mut UpdateChatRequest| request.status = Some(status.into());
    update(stack, owner, id, "status", set).await;
}

#[tokio::test]
async fn a_watcher_hears_of_what_it_may_read_and_of_nothing_else() {
    Stack::run(async |stack| {
        let (owner, stranger) = (Caller::user(), Caller::user());
        let mut owners = watch(stack, &owner).await;
        let mut strangers = watch(stack, &stranger).await;
        let created = hears_of_the_next_chat(stack, &owner, &mut owners).await;
        let chat = created.chat.unwrap();
        set_status(stack, &owner, &chat.id, ChatStatus::Error).await;
        let changed = next(&mut owners).await;
        assert_eq!(changed.kind(), WatchEventKind::StatusChanged);
        assert_eq!(changed.chat.unwrap().icon, "error-triangle");
        // The first thing that the stranger hears of is the stranger's own chat.
        hears_of_the_next_chat(stack, &stranger, &mut strangers).await;
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() {
    Stack::run(async |stack| {
        let caller = Caller::user().expires_in(2);
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
async fn a_drain_ends_streams_with_unavailable() {
    Stack::run(async |stack| {
        let mut stream = watch(stack, &Caller::user()).await;
        stack.stop.cancel();
        let ended = stream.message().await.unwrap_err();
        assert_eq!(ended.code(), Code::Unavailable);
    })
    .await;
}
