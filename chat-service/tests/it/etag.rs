//! Writers of one chat that lose nothing of each other's: etags, and labels by key.

use std::collections::BTreeMap;

use chat_service::chat::MAX_LABELS;
use proto::chat::v1::{self, Chat, ChatStatus, UpdateChatRequest};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    stack::{Caller, Stack, refused},
    worker::Owner,
};

fn update(chat: &str, paths: &[&str]) -> UpdateChatRequest {
    UpdateChatRequest {
        chat_id: chat.to_owned(),
        title: Some("changed".to_owned()),
        status: Some(ChatStatus::Running.into()),
        archived: Some(true),
        labels: [("all".to_owned(), "new".to_owned())].into(),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        etag: None,
    }
}

async fn updated(
    stack: &Stack,
    caller: &Caller,
    request: UpdateChatRequest,
) -> Result<Chat, Status> {
    let response = stack.chats(caller).update_chat(request).await?;
    Ok(response.into_inner().chat.unwrap())
}

#[tokio::test]
async fn an_update_with_the_etag_of_another_state_changes_nothing() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let mut chat = stack.chat(&owner).await;
        for path in ["title", "status", "labels", "labels.x", "archived"] {
            let current = UpdateChatRequest {
                labels: [("x".to_owned(), path.to_owned())].into(),
                etag: Some(chat.etag.clone()),
                ..update(&chat.id, &[path])
            };
            let changed = updated(stack, &owner, current.clone()).await.unwrap();
            assert_ne!(changed.etag, chat.etag, "{path}");
            let late = UpdateChatRequest {
                title: Some("late".to_owned()),
                ..current
            };
            let mismatch = (Code::Aborted, "ETAG_MISMATCH".to_owned(), None);
            assert_eq!(refused(updated(stack, &owner, late).await), mismatch);
            chat = changed;
        }
        for other in ["", "x", "*"] {
            let request = UpdateChatRequest {
                etag: Some(other.to_owned()),
                ..update(&chat.id, &["title"])
            };
            let refusal = refused(updated(stack, &owner, request).await);
            assert_eq!(refusal.0, Code::Aborted, "{other:?}");
        }
        // What may not be read is not found, whatever its etag.
        let hidden = UpdateChatRequest {
            etag: Some("x".to_owned()),
            ..update(&chat.id, &["title"])
        };
        let refusal = refused(updated(stack, &Caller::user(), hidden).await);
        assert_eq!(refusal.0, Code::NotFound);
    })
    .await;
}

#[tokio::test]
async fn an_etag_holds_while_only_refs_and_shares_change() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = stack.chat(&owner.caller).await;
        owner.report(&chat.id, "feat/x").await;
        assert_eq!(owner.get(&chat.id).await.etag, chat.etag);
        let request = UpdateChatRequest {
            etag: Some(chat.etag.clone()),
            ..update(&chat.id, &["title"])
        };
        updated(stack, &owner.caller, request).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn of_two_updates_with_one_etag_one_takes_effect() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let request = |title: &str| UpdateChatRequest {
            title: Some(title.to_owned()),
            etag: Some(chat.etag.clone()),
            ..update(&chat.id, &["title"])
        };
        let (one, other) = tokio::join!(
            updated(stack, &owner, request("one")),
            updated(stack, &owner, request("other")),
        );
        assert_ne!(one.is_ok(), other.is_ok(), "{one:?} {other:?}");
    })
    .await;
}

#[tokio::test]
async fn writers_of_different_labels_lose_nothing_of_each_others() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let keys: Vec<String> = (0..8).map(|n| format!("app.example/{n}")).collect();
        let mut writers = tokio::task::JoinSet::new();
        for key in &keys {
            let mut client = stack.chats(&owner);
            let request = UpdateChatRequest {
                labels: [(key.clone(), "set".to_owned())].into(),
                ..update(&chat.id, &[&format!("labels.{key}")])
            };
            writers.spawn(async move { client.update_chat(request).await.map(|_| ()) });
        }
        for written in writers.join_all().await {
            written.unwrap();
        }
        let expected: BTreeMap<String, String> = keys
            .iter()
            .map(|key| (key.clone(), "set".to_owned()))
            .collect();
        let all = updated(stack, &owner, update(&chat.id, &["labels.none"])).await;
        assert_eq!(
            all.unwrap().labels,
            expected,
            "a label that is not there goes"
        );
    })
    .await;
}

#[tokio::test]
async fn a_label_is_set_or_taken_away_by_its_key_in_any_spelling() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let labels: BTreeMap<String, String> = [("a.b", "1"), ("`", "2"), ("kept", "3")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let create = v1::CreateChatRequest {
            labels: labels.clone(),
            ..v1::CreateChatRequest::default()
        };
        let chat = stack.chat_with(&owner, create).await;
        let request = UpdateChatRequest {
            labels: [
                ("a.b".to_owned(), "new".to_owned()),
                ("not named".to_owned(), "x".to_owned()),
            ]
            .into(),
            ..update(&chat.id, &["labels.`a.b`", "labels.````"])
        };
        let changed = updated(stack, &owner, request).await.unwrap();
        let expected: BTreeMap<String, String> = [("a.b", "new"), ("kept", "3")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        assert_eq!(changed.labels, expected);
        // All labels are these, whichever of them are named besides.
        let request = update(&chat.id, &["labels.kept", "labels"]);
        let changed = updated(stack, &owner, request).await.unwrap();
        assert_eq!(
            changed.labels,
            [("all".to_owned(), "new".to_owned())].into()
        );
    })
    .await;
}

#[tokio::test]
async fn labels_by_key_have_the_bounds_of_labels() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let labels: BTreeMap<String, String> = (0..MAX_LABELS)
            .map(|n| (n.to_string(), String::new()))
            .collect();
        let create = v1::CreateChatRequest {
            labels,
            ..v1::CreateChatRequest::default()
        };
        let chat = stack.chat_with(&owner, create).await;
        let one_more = refused(updated(stack, &owner, update(&chat.id, &["labels.all"])).await);
        assert_eq!(one_more.0, Code::InvalidArgument);
        assert_eq!(one_more.2.as_deref(), Some("labels"));
        let instead = update(&chat.id, &["labels.all", "labels.0"]);
        let changed = updated(stack, &owner, instead).await.unwrap();
        assert_eq!(changed.labels.len(), MAX_LABELS);
        for bad in [
            "labels.",
            "labels.``",
            &format!("labels.{}", "k".repeat(64)),
        ] {
            let refusal = refused(updated(stack, &owner, update(&chat.id, &[bad])).await);
            assert_eq!(refusal.0, Code::InvalidArgument, "{bad}");
        }
        let hidden = update(&Uuid::now_v7().to_string(), &["labels.all"]);
        let refusal = refused(updated(stack, &owner, hidden).await);
        assert_eq!(refusal.0, Code::NotFound);
    })
    .await;
}
