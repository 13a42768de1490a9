//! `GetChats`: filters filter, and take every text literally.

use std::collections::BTreeSet;

use proto::chat::v1::{self, ChatStatus, CreateChatRequest, GetChatsRequest};
use tonic::Code;
use uuid::Uuid;

use crate::{
    lock::Holder,
    stack::{Caller, Stack, refused},
    worker::run,
};

fn page(size: i32) -> GetChatsRequest {
    GetChatsRequest {
        page_size: size,
        ..GetChatsRequest::default()
    }
}

#[tokio::test]
async fn filters_match_what_they_say_and_take_every_text_literally() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let workspace = Uuid::now_v7().to_string();
        let hostile = r#"100%_sure \ ' " ; DROP TABLE chats; --"#;
        let plain = stack
            .chat_with(
                &owner,
                CreateChatRequest {
                    title: "100 and sure".to_owned(),
                    workspace_id: Some(workspace.clone()),
                    labels: [("team".to_owned(), "a".to_owned())].into(),
                    ..CreateChatRequest::default()
                },
            )
            .await;
        let odd = stack
            .chat_with(
                &owner,
                CreateChatRequest {
                    title: hostile.to_owned(),
                    status: ChatStatus::Running.into(),
                    labels: [
                        ("team".to_owned(), hostile.to_owned()),
                        ("x'y".to_owned(), String::new()),
                    ]
                    .into(),
                    ..CreateChatRequest::default()
                },
            )
            .await;
        let listed = |request: GetChatsRequest| {
            let mut client = stack.chats(&owner);
            async move {
                let page = client.get_chats(request).await.unwrap().into_inner();
                page.chats
                    .into_iter()
                    .map(|chat| chat.id)
                    .collect::<BTreeSet<_>>()
            }
        };
        let only = |chat: &v1::Chat| BTreeSet::from([chat.id.clone()]);
        let by_title = |title: &str| GetChatsRequest {
            title: Some(title.to_owned()),
            ..page(0)
        };
        assert_eq!(listed(by_title("AND SURE")).await, only(&plain));
        assert_eq!(listed(by_title("100%_sure")).await, only(&odd));
        assert_eq!(listed(by_title(r"\ '")).await, only(&odd));
        assert_eq!(listed(by_title("%")).await, only(&odd));
        let by_label = |key: &str, value: &str| GetChatsRequest {
            labels: [(key.to_owned(), value.to_owned())].into(),
            ..page(0)
        };
        assert_eq!(listed(by_label("team", "a")).await, only(&plain));
        assert_eq!(listed(by_label("team", hostile)).await, only(&odd));
        assert_eq!(listed(by_label("x'y", "")).await, only(&odd));
        assert_eq!(listed(by_label("team", "%")).await, BTreeSet::new());
        let running = GetChatsRequest {
            statuses: vec![ChatStatus::Running.into()],
            ..page(0)
        };
        assert_eq!(listed(running).await, only(&odd));
        let in_workspace = GetChatsRequest {
            workspace_id: Some(workspace),
            ..page(0)
        };
        assert_eq!(listed(in_workspace).await, only(&plain));
        let of_owner = GetChatsRequest {
            owner_id: Some(owner.id()),
            ..page(0)
        };
        assert_eq!(listed(of_owner).await.len(), 2);
        let of_another = GetChatsRequest {
            owner_id: Some(Uuid::now_v7().to_string()),
            ..page(0)
        };
        assert_eq!(listed(of_another).await.len(), 0);
        let archived = GetChatsRequest {
            archived: Some(true),
            ..page(0)
        };
        assert_eq!(listed(archived).await.len(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_malformed_filter_is_refused_by_the_name_of_its_field() {
    Stack::run(async |stack| {
        let caller = Caller::user();
        let long = "x".repeat(1000);
        let cases: Vec<(&str, GetChatsRequest)> = vec![
            (
                "owner_id",
                GetChatsRequest {
                    owner_id: Some("me".to_owned()),
                    ..page(0)
                },
            ),
            (
                "workspace_id",
                GetChatsRequest {
                    workspace_id: Some(String::new()),
                    ..page(0)
                },
            ),
            (
                "statuses[1]",
                GetChatsRequest {
                    statuses: vec![1, 99],
                    ..page(0)
                },
            ),
            (
                "statuses[0]",
                GetChatsRequest {
                    statuses: vec![0],
                    ..page(0)
                },
            ),
            (
                "statuses",
                GetChatsRequest {
                    statuses: vec![1; 11],
                    ..page(0)
                },
            ),
            (
                "pull_request_states[0]",
                GetChatsRequest {
                    pull_request_states: vec![9],
                    ..page(0)
                },
            ),
            (
                "attention[1]",
                GetChatsRequest {
                    attention: vec![1, 0],
                    ..page(0)
                },
            ),
            (
                "attention[0]",
                GetChatsRequest {
                    attention: vec![5],
                    ..page(0)
                },
            ),
            (
                "attention",
                GetChatsRequest {
                    attention: vec![1; 11],
                    ..page(0)
                },
            ),
            (
                "repository",
                GetChatsRequest {
                    repository: Some("acme".to_owned()),
                    ..page(0)
                },
            ),
            (
                "repository",
                GetChatsRequest {
                    repository: Some(format!("a/{long}")),
                    ..page(0)
                },
            ),
            (
                "pull_request_number",
                GetChatsRequest {
                    pull_request_number: Some(0),
                    ..page(0)
                },
            ),
            (
                "title",
                GetChatsRequest {
                    title: Some(long.clone()),
                    ..page(0)
                },
            ),
            (
                "title",
                GetChatsRequest {
                    title: Some("a\0b".to_owned()),
                    ..page(0)
                },
            ),
            (
                "page_token",
                GetChatsRequest {
                    page_token: "AAAA".to_owned(),
                    ..page(0)
                },
            ),
        ];
        for (field, request) in cases {
            let (code, _, named) = refused(stack.chats(&caller).get_chats(request).await);
            assert_eq!(
                (code, named.as_deref()),
                (Code::InvalidArgument, Some(field))
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_list_that_takes_the_database_too_long_is_to_be_narrowed() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        stack.chat(&owner).await;
        // One chat takes as long as a great many.
        let slow = "ALTER TABLE chats RENAME TO stored_chats;
            CREATE VIEW chats AS SELECT * FROM stored_chats WHERE pg_sleep(60) IS NOT NULL";
        run(stack, slow).await;
        let answer = stack.chats(&owner).get_chats(page(50)).await;
        let (code, reason, _) = refused(answer);
        assert_eq!(
            (code, reason.as_str()),
            (Code::ResourceExhausted, "LIST_TOO_BROAD")
        );
        run(
            stack,
            "DROP VIEW chats; ALTER TABLE stored_chats RENAME TO chats",
        )
        .await;
        let listed = stack.chats(&owner).get_chats(page(50)).await.unwrap();
        assert_eq!(listed.into_inner().chats.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_list_that_waits_for_a_lock_is_to_be_repeated_and_not_narrowed() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        stack.chat(&owner).await;
        let holder = Holder::of(stack, "LOCK TABLE chats IN ACCESS EXCLUSIVE MODE").await;
        let answer = stack.chats(&owner).get_chats(page(50)).await;
        let (code, reason, _) = refused(answer);
        assert_eq!((code, reason.as_str()), (Code::Aborted, "LOCK_TIMEOUT"));
        holder.let_go().await;
        let listed = stack.chats(&owner).get_chats(page(50)).await.unwrap();
        assert_eq!(listed.into_inner().chats.len(), 1);
    })
    .await;
}
