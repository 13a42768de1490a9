//! `chat-service watch`: what it prints, and that it resumes.

use proto::chat::v1::{ChatStatus, UpdateChatRequest, UpdateChatSharingRequest};
use serde_json::Value;
use testkit::{
    proxy::{Mode, Proxy},
    wait::until,
};

use super::{client::Client, json, named};
use crate::stack::{Caller, Stack, user};

/// A watch of `caller` through a proxy.
pub(super) async fn through_a_proxy(stack: &Stack, caller: &Caller) -> (Client, Proxy) {
    let proxy = Proxy::start(stack.public_url.trim_start_matches("http://")).await;
    let client = Client::of(stack, caller).at(&format!("http://{}", proxy.address()));
    (client, proxy)
}

async fn rename(stack: &Stack, owner: &Caller, id: &str, title: &str) {
    let request = UpdateChatRequest {
        chat_id: id.to_owned(),
        title: Some(title.to_owned()),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["title".to_owned()],
        }),
        ..UpdateChatRequest::default()
    };
    stack.chats(owner).update_chat(request).await.unwrap();
}

fn kind(line: &str) -> Value {
    json(line)["kind"].clone()
}

#[tokio::test]
async fn a_watch_prints_each_change_in_words_and_ends_well_on_ctrl_c() {
    Stack::run(async |stack| {
        let (owner, reader) = (Caller::user(), Caller::user());
        let chat = stack
            .chat_with(&owner, named("Shared", ChatStatus::Waiting))
            .await;
        let watch = Client::of(stack, &reader).start(&["watch", "--json"]);
        watch
            .prints("the stream begins", |line| {
                kind(line) == "WATCH_EVENT_KIND_HEARTBEAT"
            })
            .await;
        let table = Client::of(stack, &reader).start(&["watch"]);
        table.remarks("watching http://").await;
        stack.share(&owner, &chat.id, vec![user(&reader)]).await;
        watch
            .prints("the share", |line| kind(line) == "WATCH_EVENT_KIND_UPDATED")
            .await;
        rename(stack, &owner, &chat.id, "Renamed").await;
        let line = table
            .prints("the change", |line| line.contains("Renamed"))
            .await;
        assert!(
            line.contains("updated") && line.contains("waiting"),
            "{line}"
        );
        let unshare = UpdateChatSharingRequest {
            chat_id: chat.id.clone(),
            remove: vec![user(&reader)],
            ..UpdateChatSharingRequest::default()
        };
        stack
            .chats(&owner)
            .update_chat_sharing(unshare)
            .await
            .unwrap();
        let lost = table
            .prints("the loss", |line| line.contains("access lost"))
            .await;
        assert!(
            lost.contains(&chat.id) && lost.ends_with("may not be read any more"),
            "{lost}"
        );
        assert!(
            table.printed()[0].starts_with("TIME"),
            "{:?}",
            table.printed()
        );
        assert_eq!(table.interrupt().await, Some(0));
        assert_eq!(watch.interrupt().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_watch_that_was_cut_off_resumes_with_what_changed_meanwhile_and_no_resync() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let (client, proxy) = through_a_proxy(stack, &owner).await;
        let watch = client.start(&["watch", "--json"]);
        watch
            .prints("the stream begins", |line| {
                json(line)["revision"].is_string()
            })
            .await;
        for round in 0..3 {
            proxy.set(Mode::Cut);
            watch.remarks("resuming in").await;
            let title = format!("While it was away {round}");
            rename(stack, &owner, &chat.id, &title).await;
            proxy.set(Mode::Pass);
            watch
                .prints("what changed meanwhile", |line| {
                    json(line)["chat"]["title"] == title.as_str()
                })
                .await;
        }
        let printed = watch.printed();
        let resync = printed
            .iter()
            .find(|line| kind(line) == "WATCH_EVENT_KIND_RESYNC");
        assert_eq!(resync, None, "{printed:?}");
        assert_eq!(watch.interrupt().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_watch_whose_past_is_forgotten_says_that_chats_are_to_be_listed_again() {
    Stack::run(async |stack| {
        let (owner, other) = (Caller::user(), Caller::user());
        let first = Client::of(stack, &other).start(&["watch", "--json"]);
        let line = first
            .prints("a revision", |line| json(line)["revision"].is_string())
            .await;
        let revision = json(&line)["revision"].as_str().unwrap().to_owned();
        // A revision is good only for the rights of the caller who got it.
        let watch = Client::of(stack, &owner.member(uuid::Uuid::now_v7(), "member"))
            .start(&["watch", "--since", &revision]);
        let line = watch
            .prints("the resync", |line| line.contains("resync"))
            .await;
        assert!(
            line.ends_with("changes were missed: list the chats again"),
            "{line}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_watch_whose_token_expires_goes_on_with_the_one_that_replaced_it_and_else_ends() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let client = Client::of(stack, &owner.clone().expires_in(2));
        let mut watch = client.start(&["watch", "--json"]);
        watch
            .prints("the stream begins", |line| {
                json(line)["revision"].is_string()
            })
            .await;
        client.put_token(&owner.clone().expires_in(4).token());
        watch.remarks("CREDENTIALS_INVALID").await;
        until("the second stream begins", || async {
            let printed = watch.printed();
            (printed.len() > 1).then_some(()).ok_or(printed)
        })
        .await;
        stack.chat(&owner).await;
        watch
            .prints("a change", |line| kind(line) == "WATCH_EVENT_KIND_CREATED")
            .await;
        assert_eq!(watch.ends().await, Some(77));
    })
    .await;
}
