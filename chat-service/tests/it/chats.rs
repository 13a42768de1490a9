//! Creating, changing and sharing chats, and who may.

use std::time::Duration;

use proto::chat::v1::{
    Chat, ChatStatus, CreateChatRequest, GetChatRequest, GetChatsRequest, RefreshChatRequest,
    ReportGitRefRequest, UpdateChatRequest, UpdateChatSharingRequest, report_git_ref_request,
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    stack::{Caller, Stack, bearer, facts, refused, user},
    worker::Owner,
};

pub(crate) fn update(chat: &Chat, paths: &[&str]) -> UpdateChatRequest {
    UpdateChatRequest {
        chat_id: chat.id.clone(),
        title: Some("changed".to_owned()),
        status: Some(ChatStatus::Running.into()),
        labels: [("key".to_owned(), "value".to_owned())].into(),
        archived: Some(true),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        etag: None,
    }
}

#[tokio::test]
async fn without_a_valid_token_every_call_is_unauthenticated() {
    Stack::run(async |stack| {
        let request = GetChatsRequest::default;
        assert_eq!(
            refused(stack.anonymous().get_chats(request()).await),
            (
                Code::Unauthenticated,
                "CREDENTIALS_MISSING".to_owned(),
                None
            )
        );
        let invalid = (
            Code::Unauthenticated,
            "CREDENTIALS_INVALID".to_owned(),
            None,
        );
        let good = Caller::user().token();
        let (head, signature) = good.rsplit_once('.').unwrap();
        let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
        let expired = Caller::user().expires(1).token();
        let no_uuid = {
            let mut caller = Caller::user();
            "no-uuid".clone_into(&mut caller.claims.sub);
            caller.token()
        };
        for token in [
            forged.as_str(),
            expired.as_str(),
            no_uuid.as_str(),
            "x",
            "a.b.c",
        ] {
            let mut client = stack.chats_with(bearer(token));
            assert_eq!(
                refused(client.get_chats(request()).await),
                invalid,
                "{token}"
            );
        }
        assert!(
            stack
                .chats_with(bearer(&good))
                .get_chats(request())
                .await
                .is_ok()
        );
    })
    .await;
}

#[tokio::test]
async fn a_repeated_create_returns_the_first_chat() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let request = CreateChatRequest {
            title: "once".to_owned(),
            request_id: Some(Uuid::now_v7().to_string()),
            ..CreateChatRequest::default()
        };
        let first = stack.chat_with(&owner, request.clone()).await;
        let second = stack
            .chat_with(
                &owner,
                CreateChatRequest {
                    title: "twice".to_owned(),
                    ..request
                },
            )
            .await;
        assert_eq!(first, second);
    })
    .await;
}

#[tokio::test]
async fn a_user_creates_only_own_chats_and_only_in_own_organizations() {
    Stack::run(async |stack| {
        let organization = Uuid::now_v7();
        let caller = Caller::user().member(organization, "member");
        let request = |owner: Option<String>, organization: Option<Uuid>| CreateChatRequest {
            owner_id: owner,
            organization_id: organization.map(|id| id.to_string()),
            ..CreateChatRequest::default()
        };
        let denied = (
            Code::PermissionDenied,
            "ACTION_NOT_ALLOWED".to_owned(),
            None,
        );
        let mut client = stack.chats(&caller);
        assert!(
            client
                .create_chat(request(None, Some(organization)))
                .await
                .is_ok()
        );
        let foreign = request(None, Some(Uuid::now_v7()));
        assert_eq!(refused(client.create_chat(foreign).await), denied);
        let for_another = request(Some(Caller::user().id()), None);
        assert_eq!(
            refused(client.create_chat(for_another.clone()).await),
            denied
        );
        for trusted in [Caller::internal(), Caller::user().site("admin")] {
            assert!(
                stack
                    .chats(&trusted)
                    .create_chat(for_another.clone())
                    .await
                    .is_ok()
            );
        }
        for other in [
            Caller::gitsync(),
            Caller::user().site("auditor"),
            caller.suspended(),
        ] {
            assert_eq!(
                refused(stack.chats(&other).create_chat(for_another.clone()).await),
                denied
            );
        }
        // A service has no chats of its own.
        assert_eq!(
            refused(
                stack
                    .chats(&Caller::internal())
                    .create_chat(request(None, None))
                    .await
            ),
            (
                Code::InvalidArgument,
                "FIELD_INVALID".to_owned(),
                Some("owner_id".to_owned())
            )
        );
    })
    .await;
}

#[tokio::test]
async fn a_chat_that_may_not_be_read_is_as_one_that_does_not_exist() {
    Stack::run(async |stack| {
        let chat = stack.chat(&Caller::user()).await;
        let stranger = Caller::user();
        let nothing = Chat {
            id: Uuid::now_v7().to_string(),
            ..Chat::default()
        };
        let mut answers = Vec::new();
        for chat in [&chat, &nothing] {
            let mut client = stack.chats(&stranger);
            let chat_id = chat.id.clone();
            let share = UpdateChatSharingRequest {
                chat_id: chat_id.clone(),
                remove: vec![user(&stranger)],
                ..UpdateChatSharingRequest::default()
            };
            let statuses = [
                client
                    .get_chat(GetChatRequest {
                        chat_id: chat_id.clone(),
                        ..GetChatRequest::default()
                    })
                    .await
                    .unwrap_err(),
                client
                    .update_chat(update(chat, &["title"]))
                    .await
                    .unwrap_err(),
                client
                    .update_chat(update(chat, &["archived"]))
                    .await
                    .unwrap_err(),
                client.update_chat_sharing(share).await.unwrap_err(),
                client
                    .refresh_chat(RefreshChatRequest { chat_id })
                    .await
                    .unwrap_err(),
            ];
            answers.push(statuses.map(|status| {
                assert_eq!(status.code(), Code::NotFound);
                (status.message().to_owned(), status.details().to_vec())
            }));
        }
        assert_eq!(answers.first(), answers.last());
    })
    .await;
}

#[tokio::test]
async fn an_update_that_changes_nothing_moves_nothing() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let request = update(&chat, &["title"]);
        let once = stack
            .chats(&owner)
            .update_chat(request.clone())
            .await
            .unwrap()
            .into_inner();
        let twice = stack
            .chats(&owner)
            .update_chat(request)
            .await
            .unwrap()
            .into_inner();
        assert_ne!(once.chat.as_ref().unwrap().updated_at, chat.updated_at);
        assert_eq!(once, twice);
    })
    .await;
}

#[tokio::test]
async fn malformed_changes_are_refused_by_field_and_write_nothing() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let labels = |pairs: Vec<(String, String)>| UpdateChatRequest {
            labels: pairs.into_iter().collect(),
            ..update(&chat, &["labels"])
        };
        let title = |title: Option<&str>| UpdateChatRequest {
            title: title.map(str::to_owned),
            ..update(&chat, &["title"])
        };
        let cases = [
            ("update_mask", update(&chat, &[])),
            ("update_mask", update(&chat, &["owner_id"])),
            (
                "chat_id",
                UpdateChatRequest {
                    chat_id: "x".to_owned(),
                    ..update(&chat, &["title"])
                },
            ),
            ("title", title(None)),
            ("title", title(Some("  "))),
            ("title", title(Some(&"x".repeat(201)))),
            ("title", title(Some("a\0b"))),
            (
                "status",
                UpdateChatRequest {
                    status: Some(0),
                    ..update(&chat, &["status"])
                },
            ),
            (
                "labels[\"\"]",
                labels(vec![(String::new(), "x".to_owned())]),
            ),
            (
                "labels[\"k\"]",
                labels(vec![("k".to_owned(), "x".repeat(256))]),
            ),
            (
                "labels",
                labels((0..33).map(|n| (format!("k{n}"), String::new())).collect()),
            ),
        ];
        for (field, request) in cases {
            let (code, _, named) = refused(stack.chats(&owner).update_chat(request).await);
            assert_eq!(
                (code, named.as_deref()),
                (Code::InvalidArgument, Some(field))
            );
        }
        let now = stack
            .chats(&owner)
            .get_chat(GetChatRequest {
                chat_id: chat.id.clone(),
                ..GetChatRequest::default()
            })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(now.chat, Some(chat));
    })
    .await;
}

/// Details travel in a header, of which a client takes 16 KiB at most.
#[tokio::test]
async fn the_details_of_a_failed_refresh_fit_into_a_header_however_large_the_chat() {
    Stack::run_with(
        |settings, _| {
            settings.refresh_timeout = Duration::from_secs(1).into();
        },
        async |stack| {
            let owner = Owner::linked(stack).await.caller;
            let request = CreateChatRequest {
                labels: (0..32)
                    .map(|n| (format!("key-{n}"), "x".repeat(255)))
                    .collect(),
                ..CreateChatRequest::default()
            };
            let chat = stack.chat_with(&owner, request).await;
            let share = UpdateChatSharingRequest {
                chat_id: chat.id.clone(),
                add_readers: (0..100).map(|_| user(&Caller::user())).collect(),
                ..UpdateChatSharingRequest::default()
            };
            stack
                .chats(&owner)
                .update_chat_sharing(share)
                .await
                .unwrap();
            for index in 0..20 {
                let report = ReportGitRefRequest {
                    target: Some(report_git_ref_request::Target::ChatId(chat.id.clone())),
                    git_remote_origin: "https://github.com/acme/web".to_owned(),
                    git_branch: format!("{index}-{}", "b".repeat(200)),
                    commit: None,
                };
                stack.chats(&owner).report_git_ref(report).await.unwrap();
            }
            let refresh = RefreshChatRequest { chat_id: chat.id };
            let failed = stack.chats(&owner).refresh_chat(refresh).await.unwrap_err();
            assert_eq!(facts(&failed).1, "NO_WORKER_IN_TIME");
            assert!(
                failed.details().len() < 8 * 1024,
                "{} bytes",
                failed.details().len()
            );
        },
    )
    .await;
}
