//! `GetChats`: pages are exact, tokens are bound, filters filter.

use std::collections::BTreeSet;

use proto::chat::v1::{
    CreateChatRequest, GetChatRequest, GetChatsRequest, UpdateChatRequest, UpdateChatSharingRequest,
};
use tonic::Code;
use uuid::Uuid;

use crate::stack::{Caller, Stack, group, refused, user};

fn page(size: i32) -> GetChatsRequest {
    GetChatsRequest {
        page_size: size,
        ..GetChatsRequest::default()
    }
}

/// Promise 1: with 200 chats of which every second is readable, pages of 25 are 25 long until the
/// last, for every caller, and their union is what `GetChat` allows one by one.
#[tokio::test]
async fn pages_are_exact_under_authorization() {
    Stack::run(async |stack| {
        let organization = Uuid::now_v7();
        let team = Uuid::now_v7();
        let internal = Caller::internal();
        let owner = Caller::user().member(organization, "member");
        let reader = Caller::user();
        let teammate = Caller::user().group(team);
        let callers = [
            ("owner", owner.clone(), 100),
            (
                "organization admin",
                Caller::user().member(organization, "admin"),
                100,
            ),
            (
                "admin of another organization",
                Caller::user().member(Uuid::now_v7(), "admin"),
                0,
            ),
            ("member", Caller::user().member(organization, "member"), 0),
            ("reader", reader.clone(), 100),
            ("group member", teammate, 100),
            ("stranger", Caller::user(), 0),
            ("auditor", Caller::user().site("auditor"), 200),
            ("site admin", Caller::user().site("admin"), 200),
            (
                "suspended auditor",
                Caller::user().site("auditor").suspended(),
                0,
            ),
            ("internal service", internal.clone(), 200),
            ("gitsync", Caller::gitsync(), 0),
        ];
        let mut all = Vec::new();
        for index in 0..200 {
            let visible = index % 2 == 0;
            let chat = stack
                .chat_with(
                    &internal,
                    CreateChatRequest {
                        owner_id: Some(if visible {
                            owner.id()
                        } else {
                            Caller::user().id()
                        }),
                        organization_id: visible.then(|| organization.to_string()),
                        title: format!("chat {index}"),
                        ..CreateChatRequest::default()
                    },
                )
                .await;
            if visible {
                let readers = vec![user(&reader), group(team)];
                stack.share(&owner, &chat.id, readers).await;
            }
            all.push(chat.id);
        }
        for (name, caller, expected) in &callers {
            let listed = stack.walk(caller, page(25)).await;
            let keys: Vec<_> = listed
                .iter()
                .map(|chat| {
                    let at = chat.updated_at.unwrap();
                    (at.seconds, at.nanos, chat.id.clone())
                })
                .collect();
            assert!(
                keys.is_sorted_by(|a, b| a > b),
                "{name}: out of order or repeated"
            );
            assert_eq!(listed.len(), *expected, "{name}");
            let listed: BTreeSet<String> = listed.into_iter().map(|chat| chat.id).collect();
            let mut readable = BTreeSet::new();
            let mut client = stack.chats(caller);
            for id in &all {
                match client
                    .get_chat(GetChatRequest {
                        chat_id: id.clone(),
                        ..GetChatRequest::default()
                    })
                    .await
                {
                    Ok(_) => assert!(readable.insert(id.clone())),
                    Err(status) => assert_eq!(status.code(), Code::NotFound, "{name}"),
                }
            }
            assert_eq!(
                listed, readable,
                "{name}: the list and the point reads disagree"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_chat_reachable_in_several_ways_is_listed_once() {
    Stack::run(async |stack| {
        let (organization, first, second) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let owner = Caller::user()
            .member(organization, "admin")
            .group(first)
            .group(second);
        for _ in 0..7 {
            let request = CreateChatRequest {
                organization_id: Some(organization.to_string()),
                ..CreateChatRequest::default()
            };
            let chat = stack.chat_with(&owner, request).await;
            let share = UpdateChatSharingRequest {
                chat_id: chat.id,
                add_readers: vec![group(first)],
                add_writers: vec![group(second), user(&owner)],
                ..UpdateChatSharingRequest::default()
            };
            stack
                .chats(&owner)
                .update_chat_sharing(share)
                .await
                .unwrap();
        }
        assert_eq!(stack.walk(&owner, page(3)).await.len(), 7);
    })
    .await;
}

#[tokio::test]
async fn shared_with_me_lists_what_others_shared_and_nothing_seen_by_role() {
    Stack::run(async |stack| {
        let team = Uuid::now_v7();
        let owner = Caller::user();
        let admin = Caller::user().site("admin").group(team);
        let mut shared = BTreeSet::new();
        for index in 0..6 {
            let chat = stack.chat(&owner).await;
            if index % 3 != 0 {
                let reader = if index % 3 == 1 {
                    user(&admin)
                } else {
                    group(team)
                };
                stack.share(&owner, &chat.id, vec![reader]).await;
                shared.insert(chat.id);
            }
        }
        stack.chat(&admin).await;
        let request = GetChatsRequest {
            shared_with_me: true,
            ..page(3)
        };
        let listed: BTreeSet<String> = stack
            .walk(&admin, request)
            .await
            .into_iter()
            .map(|chat| chat.id)
            .collect();
        assert_eq!(listed, shared);
    })
    .await;
}

#[tokio::test]
async fn an_updated_cursor_chat_neither_hides_nor_repeats_the_others() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        for _ in 0..6 {
            stack.chat(&owner).await;
        }
        let first = stack
            .chats(&owner)
            .get_chats(page(3))
            .await
            .unwrap()
            .into_inner();
        let cursor = first.chats.last().unwrap().id.clone();
        let touch = UpdateChatRequest {
            chat_id: cursor.clone(),
            title: Some("moved to the front".to_owned()),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["title".to_owned()],
            }),
            ..UpdateChatRequest::default()
        };
        stack.chats(&owner).update_chat(touch).await.unwrap();
        let rest = GetChatsRequest {
            page_token: first.next_page_token,
            ..page(3)
        };
        let rest = stack
            .chats(&owner)
            .get_chats(rest)
            .await
            .unwrap()
            .into_inner();
        let seen: BTreeSet<&String> = first
            .chats
            .iter()
            .chain(&rest.chats)
            .map(|chat| &chat.id)
            .collect();
        assert_eq!(seen.len(), 6);
        assert_eq!(rest.next_page_token, "");
        let list = stack.walk(&owner, page(50)).await;
        assert_eq!(list.first().unwrap().id, cursor);
    })
    .await;
}

#[tokio::test]
async fn a_token_of_another_caller_or_other_filters_is_refused() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        for _ in 0..3 {
            stack.chat(&owner).await;
        }
        let token = stack
            .chats(&owner)
            .get_chats(page(1))
            .await
            .unwrap()
            .into_inner()
            .next_page_token;
        let with_token = GetChatsRequest {
            page_token: token.clone(),
            ..page(1)
        };
        assert!(
            stack
                .chats(&owner)
                .get_chats(with_token.clone())
                .await
                .is_ok()
        );
        // Another page size is no other list.
        let larger = GetChatsRequest {
            page_size: 2,
            ..with_token.clone()
        };
        assert!(stack.chats(&owner).get_chats(larger).await.is_ok());
        let wrong = (
            Code::InvalidArgument,
            "PAGE_TOKEN_INVALID".to_owned(),
            Some("page_token".to_owned()),
        );
        let stranger = Caller::user();
        assert_eq!(
            refused(stack.chats(&stranger).get_chats(with_token.clone()).await),
            wrong
        );
        let filtered = GetChatsRequest {
            archived: Some(false),
            ..with_token.clone()
        };
        assert_eq!(
            refused(stack.chats(&owner).get_chats(filtered).await),
            wrong
        );
        let mut forged = token;
        forged.replace_range(
            3..4,
            if forged.get(3..4) == Some("A") {
                "B"
            } else {
                "A"
            },
        );
        let forged = GetChatsRequest {
            page_token: forged,
            ..page(1)
        };
        assert_eq!(refused(stack.chats(&owner).get_chats(forged).await), wrong);
    })
    .await;
}

#[tokio::test]
async fn page_sizes_have_a_default_a_most_and_no_negatives() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        for _ in 0..51 {
            stack.chat(&owner).await;
        }
        let chats = |size| {
            let mut client = stack.chats(&owner);
            async move { client.get_chats(page(size)).await.unwrap().into_inner() }
        };
        assert_eq!(chats(0).await.chats.len(), 50);
        let most = chats(i32::MAX).await;
        assert_eq!((most.chats.len(), most.next_page_token.as_str()), (51, ""));
        let full = chats(51).await;
        assert_eq!(
            full.next_page_token, "",
            "a full last page is the last page"
        );
        assert_eq!(
            refused(stack.chats(&owner).get_chats(page(-1)).await),
            (
                Code::InvalidArgument,
                "FIELD_INVALID".to_owned(),
                Some("page_size".to_owned())
            )
        );
    })
    .await;
}
