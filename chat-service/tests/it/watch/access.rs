//! Who hears that a chat may not be read any more, and who hears nothing of it.

use std::sync::Arc;

use chat_service::authz::Policies;
use policy::Source;
use proto::chat::v1::{
    ChatStatus, UpdateChatRequest, UpdateChatSharingRequest,
    WatchEventKind::{self, AccessLost, Archived, Heartbeat, StatusChanged, Updated},
};
use tonic::Code;
use uuid::Uuid;

use super::{
    heard_chat, hears_of_the_next_chat, next_chat, only_id, set_status, sharing, unshare, update,
    watch,
};
use crate::{
    stack::{Caller, Stack, group, user},
    worker::value,
};

/// Policies that let every user read a chat, each by one field.
const PUBLIC: &str = r#"
    @id("label") permit (principal is User, action == Action::"readChat", resource)
    when { resource.hasTag("public") && resource.getTag("public") == "yes" };
    @id("title") permit (principal is User, action == Action::"readChat", resource)
    when { resource.title like "public: *" };
    @id("status") permit (principal is User, action == Action::"readChat", resource)
    when { resource.status == Status::"running" };
    @id("archived") permit (principal is User, action == Action::"readChat", resource)
    when { resource.archived };
"#;

/// The shipped policies, and `more`.
fn shipped_and(more: &str) -> Arc<Policies> {
    let mut sources = Source::embedded();
    sources.push(Source::new("more.cedar", more));
    Arc::new(Policies::load(&sources).unwrap())
}

type Change = fn(&mut UpdateChatRequest);

/// How a right that policies of [`PUBLIC`] give comes and goes: by what, and with which kind.
const WAYS: [(&str, WatchEventKind, [Change; 2]); 4] = [
    (
        "labels.public",
        Updated,
        [
            |request| request.labels = [("public".to_owned(), "yes".to_owned())].into(),
            |request| request.labels = [].into(),
        ],
    ),
    (
        "title",
        Updated,
        [
            |request| request.title = Some("public: a".to_owned()),
            |request| request.title = Some("a".to_owned()),
        ],
    ),
    (
        "status",
        StatusChanged,
        [
            |request| request.status = Some(ChatStatus::Running.into()),
            |request| request.status = Some(ChatStatus::Waiting.into()),
        ],
    ),
    (
        "archived",
        Archived,
        [
            |request| request.archived = Some(true),
            |request| request.archived = Some(false),
        ],
    ),
];

#[tokio::test]
async fn whatever_takes_the_right_away_is_access_lost_and_nothing_after() {
    let policies = shipped_and(PUBLIC);
    Stack::run_with(
        |settings, _| settings.policies = Some(policies),
        async |stack| {
            let (owner, reader) = (Caller::user(), Caller::user());
            let mut stream = watch(stack, &reader).await;
            for (path, kind, [give, take]) in WAYS {
                let chat = heard_chat(stack, &owner).await;
                update(stack, &owner, &chat.id, path, give).await;
                let (heard, shown) = next_chat(&mut stream).await;
                assert_eq!((heard, &*shown.id), (kind, &*chat.id), "{path}");
                update(stack, &owner, &chat.id, path, take).await;
                let lost = (AccessLost, only_id(&chat.id));
                assert_eq!(next_chat(&mut stream).await, lost, "{path}");
                // The next message is of another chat.
                set_status(stack, &owner, &chat.id, ChatStatus::Paused).await;
            }
            hears_of_the_next_chat(stack, &reader, &mut stream).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_reader_whose_share_is_removed_hears_access_lost_and_nothing_after() {
    Stack::run(async |stack| {
        let (owner, reader) = (Caller::user(), Caller::user());
        let chat = heard_chat(stack, &owner).await;
        let mut stream = watch(stack, &reader).await;
        stack.share(&owner, &chat.id, vec![user(&reader)]).await;
        let (kind, shown) = next_chat(&mut stream).await;
        assert_eq!((kind, shown.title), (Updated, chat.title));
        unshare(stack, &owner, &chat.id, vec![user(&reader)]).await;
        let lost = (AccessLost, only_id(&chat.id));
        assert_eq!(next_chat(&mut stream).await, lost);
        set_status(stack, &owner, &chat.id, ChatStatus::Error).await;
        hears_of_the_next_chat(stack, &reader, &mut stream).await;
    })
    .await;
}

#[tokio::test]
async fn who_may_read_a_chat_in_another_way_hears_of_an_update_when_a_share_goes() {
    Stack::run(async |stack| {
        let team = Uuid::now_v7();
        let (owner, reader) = (Caller::user(), Caller::user().group(team));
        let chat = heard_chat(stack, &owner).await;
        let mut stream = watch(stack, &reader).await;
        let both = UpdateChatSharingRequest {
            chat_id: chat.id.clone(),
            add_readers: vec![group(team)],
            add_writers: vec![user(&reader)],
            ..UpdateChatSharingRequest::default()
        };
        sharing(stack, &owner, both).await;
        let mut heard = vec![next_chat(&mut stream).await.0];
        for gone in [user(&reader), group(team)] {
            unshare(stack, &owner, &chat.id, vec![gone]).await;
            heard.push(next_chat(&mut stream).await.0);
        }
        assert_eq!(heard, [Updated, Updated, AccessLost]);
    })
    .await;
}

#[tokio::test]
async fn a_stranger_hears_nothing_of_shares_that_come_and_go() {
    Stack::run(async |stack| {
        let (owner, reader, stranger) = (Caller::user(), Caller::user(), Caller::user());
        let chat = heard_chat(stack, &owner).await;
        let mut readers = watch(stack, &reader).await;
        let mut strangers = watch(stack, &stranger).await;
        stack.share(&owner, &chat.id, vec![user(&reader)]).await;
        next_chat(&mut readers).await;
        unshare(stack, &owner, &chat.id, vec![user(&reader)]).await;
        assert_eq!(next_chat(&mut readers).await.0, AccessLost);
        hears_of_the_next_chat(stack, &stranger, &mut strangers).await;
    })
    .await;
}

#[tokio::test]
async fn a_suspended_user_hears_nothing_of_shares() {
    Stack::run(async |stack| {
        let team = Uuid::now_v7();
        let suspended = Caller::user().group(team).suspended().expires_in(3);
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let mut stream = watch(stack, &suspended).await;
        let mut owners = watch(stack, &owner).await;
        for subject in [user(&suspended), group(team)] {
            stack.share(&owner, &chat.id, vec![subject.clone()]).await;
            while next_chat(&mut owners).await.1.readers.is_empty() {}
            unshare(stack, &owner, &chat.id, vec![subject]).await;
            while !next_chat(&mut owners).await.1.readers.is_empty() {}
        }
        // All that comes until the token expires.
        let ended = loop {
            match stream.message().await {
                Ok(Some(message)) => assert_eq!(message.kind(), Heartbeat, "{message:?}"),
                ended => break ended.unwrap_err(),
            }
        };
        assert_eq!(ended.code(), Code::Unauthenticated);
    })
    .await;
}

/// How many events of changes of `chat` keep what it was before.
async fn kept(stack: &Stack, chat: &str) -> i64 {
    let kept = format!(
        "SELECT count(*) FROM change_events WHERE chat_id = '{chat}' AND former IS NOT NULL"
    );
    value(stack, &kept).await
}

#[tokio::test]
async fn an_event_keeps_the_chat_before_only_where_policies_may_have_lost_it() {
    let labels = r#"
        @id("label") permit (principal is User, action == Action::"readChat", resource)
        when { resource.hasTag("public") };
        @id("other") permit (principal is User, action == Action::"refreshChat", resource)
        when { resource.archived && resource.title like "*" };
    "#;
    for (more, of_labels) in [("", 0), (labels, 1)] {
        let policies = shipped_and(more);
        Stack::run_with(
            |settings, _| settings.policies = Some(policies),
            async |stack| {
                let owner = Caller::user();
                let chat = stack.chat(&owner).await;
                for (path, _, [change, _]) in WAYS {
                    let before = kept(stack, &chat.id).await;
                    update(stack, &owner, &chat.id, path, change).await;
                    let expected = if path.starts_with("labels") {
                        of_labels
                    } else {
                        0
                    };
                    assert_eq!(kept(stack, &chat.id).await - before, expected, "{path}");
                }
                let before = kept(stack, &chat.id).await;
                let reader = user(&Caller::user());
                stack.share(&owner, &chat.id, vec![reader.clone()]).await;
                unshare(stack, &owner, &chat.id, vec![reader]).await;
                assert_eq!(kept(stack, &chat.id).await - before, 2, "shares");
            },
        )
        .await;
    }
}
