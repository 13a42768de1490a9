//! What a watch is narrowed to, and how much of a chat it shows.

use std::collections::{BTreeMap, BTreeSet};

use proto::chat::v1::{
    self, AttentionKind, ChatStatus, ChatView, GetChatsRequest, PullRequestState,
    WatchChatsRequest,
    WatchEventKind::{Created, NotMatching, Resync, StatusChanged, Updated},
};
use tonic::Code;
use uuid::Uuid;

use super::{begin, next, next_chat, only_id, set_status, update, watch, watch_with};
use crate::{
    stack::{Caller, Stack, refused, user},
    worker::{Owner, Worker, found, pull_request},
};

fn in_state(status: ChatStatus) -> WatchChatsRequest {
    WatchChatsRequest {
        statuses: vec![status.into()],
        ..WatchChatsRequest::default()
    }
}

#[tokio::test]
async fn a_filtered_watch_says_which_chats_match_no_more() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let mut stream = watch_with(stack, &owner, in_state(ChatStatus::Running)).await;
        let running = v1::CreateChatRequest {
            status: ChatStatus::Running.into(),
            ..v1::CreateChatRequest::default()
        };
        let chat = stack.chat_with(&owner, running).await;
        assert_eq!(next_chat(&mut stream).await, (Created, chat.clone()));
        let gone = (NotMatching, only_id(&chat.id));
        set_status(stack, &owner, &chat.id, ChatStatus::Error).await;
        assert_eq!(next_chat(&mut stream).await, gone);
        // As any change of it.
        set_status(stack, &owner, &chat.id, ChatStatus::Paused).await;
        assert_eq!(next_chat(&mut stream).await, gone);
        set_status(stack, &owner, &chat.id, ChatStatus::Running).await;
        let (kind, back) = next_chat(&mut stream).await;
        assert_eq!((kind, back.id), (StatusChanged, chat.id));
    })
    .await;
}

/// The watch of the same filters as a list.
fn as_watch(list: &GetChatsRequest) -> WatchChatsRequest {
    let list = list.clone();
    WatchChatsRequest {
        owner_id: list.owner_id,
        archived: list.archived,
        shared_with_me: list.shared_with_me,
        statuses: list.statuses,
        labels: list.labels,
        pull_request_states: list.pull_request_states,
        attention: list.attention,
        repository: list.repository,
        pull_request_number: list.pull_request_number,
        title: list.title,
        workspace_id: list.workspace_id,
        ..WatchChatsRequest::default()
    }
}

/// Each filter, and two together.
fn lists() -> Vec<GetChatsRequest> {
    let all = GetChatsRequest::default;
    let labels: BTreeMap<_, _> = [("team".to_owned(), "a".to_owned())].into();
    vec![
        all(),
        GetChatsRequest {
            archived: Some(true),
            ..all()
        },
        GetChatsRequest {
            shared_with_me: true,
            ..all()
        },
        GetChatsRequest {
            statuses: vec![ChatStatus::Running.into(), ChatStatus::Error.into()],
            ..all()
        },
        GetChatsRequest {
            labels: labels.clone(),
            ..all()
        },
        GetChatsRequest {
            pull_request_states: vec![PullRequestState::Open.into()],
            ..all()
        },
        GetChatsRequest {
            attention: vec![
                AttentionKind::Conflicting.into(),
                AttentionKind::ChangesRequested.into(),
            ],
            ..all()
        },
        GetChatsRequest {
            repository: Some("ACME/Web".to_owned()),
            ..all()
        },
        GetChatsRequest {
            pull_request_number: Some(7),
            ..all()
        },
        GetChatsRequest {
            title: Some("THE LOG".to_owned()),
            ..all()
        },
        GetChatsRequest {
            labels,
            statuses: vec![ChatStatus::Running.into()],
            ..all()
        },
    ]
}

#[tokio::test]
async fn a_watch_lets_through_what_a_list_of_the_same_filters_has() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let friend = Caller::user();
        let mut all = watch(stack, &owner.caller).await;
        let with_pull_request = owner.chat("feat/x").await;
        let asked = v1::PullRequest {
            changes_requested: true,
            ..pull_request()
        };
        let asked = v1::outcome::Result::Found(asked);
        Worker::of(stack).answer(asked).await;
        let with = async |title: &str, status: ChatStatus, team: &str| {
            let request = v1::CreateChatRequest {
                title: title.to_owned(),
                status: status.into(),
                labels: [("team".to_owned(), team.to_owned())].into(),
                ..v1::CreateChatRequest::default()
            };
            stack.chat_with(&owner.caller, request).await
        };
        let own = [
            with_pull_request,
            with("Fix the login", ChatStatus::Waiting, "a").await,
            with("a", ChatStatus::Running, "a").await,
            with("b", ChatStatus::Error, "b").await,
        ];
        let archive = |request: &mut v1::UpdateChatRequest| request.archived = Some(true);
        update(stack, &owner.caller, &own[3].id, "archived", archive).await;
        let shared = stack.chat(&friend).await;
        let me = vec![user(&owner.caller)];
        stack.share(&friend, &shared.id, me).await;
        // By their owners.
        let mut chats: Vec<(&Caller, String)> = own.map(|chat| (&owner.caller, chat.id)).into();
        chats.push((&friend, shared.id));
        let touch = async |round: usize| {
            for (by, id) in &chats {
                let round = [("round".to_owned(), round.to_string())];
                let set = |request: &mut v1::UpdateChatRequest| request.labels = round.into();
                update(stack, by, id, "labels.round", set).await;
            }
        };
        // All that was before is placed by then.
        touch(0).await;
        let mut before: BTreeSet<&str> = chats.iter().map(|(_, id)| id.as_str()).collect();
        while !before.is_empty() {
            let (_, chat) = next_chat(&mut all).await;
            if chat.labels.contains_key("round") {
                before.remove(&*chat.id);
            }
        }
        let mut sizes = BTreeSet::new();
        for (round, list) in lists().into_iter().enumerate() {
            let mut stream = watch_with(stack, &owner.caller, as_watch(&list)).await;
            touch(1 + round).await;
            let page = stack.chats(&owner.caller).get_chats(list.clone()).await;
            let page = page.unwrap().into_inner().chats;
            let listed: BTreeSet<String> = page.into_iter().map(|chat| chat.id).collect();
            let mut through = BTreeSet::new();
            for _ in &chats {
                let (kind, chat) = next_chat(&mut stream).await;
                if kind == Updated {
                    through.insert(chat.id);
                } else {
                    assert_eq!((kind, &chat), (NotMatching, &only_id(&chat.id)));
                }
            }
            assert_eq!(through, listed, "{list:?}");
            sizes.insert(listed.len());
        }
        assert_eq!(sizes, [1, 2, 5].into(), "each filter lets some through");
    })
    .await;
}

#[tokio::test]
async fn a_watch_of_an_owner_a_workspace_or_ids_is_silent_about_others() {
    Stack::run(async |stack| {
        let (owner, other) = (Caller::user(), Caller::user());
        let workspace = Uuid::now_v7().to_string();
        let wanted = v1::CreateChatRequest {
            workspace_id: Some(workspace.clone()),
            ..v1::CreateChatRequest::default()
        };
        let wanted = stack.chat_with(&owner, wanted).await;
        let strange = stack.chat(&other).await;
        let all = WatchChatsRequest::default;
        let admin = Caller::user().site("admin");
        let mut streams = Vec::new();
        for request in [
            WatchChatsRequest {
                owner_id: Some(owner.id()),
                ..all()
            },
            WatchChatsRequest {
                workspace_id: Some(workspace),
                ..all()
            },
            WatchChatsRequest {
                chat_ids: vec![Uuid::now_v7().to_string(), wanted.id.clone()],
                ..all()
            },
        ] {
            streams.push(watch_with(stack, &admin, request).await);
        }
        let delete = v1::DeleteChatRequest {
            chat_id: strange.id.clone(),
            etag: None,
        };
        set_status(stack, &other, &strange.id, ChatStatus::Error).await;
        stack.chats(&other).delete_chat(delete).await.unwrap();
        set_status(stack, &owner, &wanted.id, ChatStatus::Error).await;
        for mut stream in streams {
            let mut status = ChatStatus::Waiting;
            while status != ChatStatus::Error {
                let (_, chat) = next_chat(&mut stream).await;
                assert_eq!(chat.id, wanted.id);
                status = chat.status();
            }
        }
    })
    .await;
}

/// The chat without the times of its next refreshes, which a read of it changes.
fn without_plan(mut chat: v1::Chat) -> v1::Chat {
    for status in chat.diff_status.iter_mut().chain(&mut chat.diff_statuses) {
        status.next_refresh_at = None;
    }
    chat
}

#[tokio::test]
async fn a_watch_shows_all_of_a_chat_or_what_a_row_of_a_list_does() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        Worker::of(stack).answer(found()).await;
        for (view, list) in [
            (ChatView::Basic, ChatView::Basic),
            (ChatView::Unspecified, ChatView::Full),
        ] {
            let request = WatchChatsRequest {
                view: view.into(),
                ..WatchChatsRequest::default()
            };
            let mut stream = watch_with(stack, &owner.caller, request).await;
            let title = |request: &mut v1::UpdateChatRequest| {
                request.title = Some(format!("{list:?}"));
            };
            update(stack, &owner.caller, &chat.id, "title", title).await;
            let shown = loop {
                let (_, chat) = next_chat(&mut stream).await;
                if chat.title == format!("{list:?}") {
                    break chat;
                }
            };
            let request = GetChatsRequest {
                view: list.into(),
                ..GetChatsRequest::default()
            };
            let page = stack.chats(&owner.caller).get_chats(request).await;
            let listed = page.unwrap().into_inner().chats.remove(0);
            assert_eq!(without_plan(shown), without_plan(listed));
        }
    })
    .await;
}

#[tokio::test]
async fn a_malformed_watch_is_refused_by_the_name_of_its_field() {
    Stack::run(async |stack| {
        let all = WatchChatsRequest::default;
        let id = Uuid::now_v7().to_string();
        let ids = |ids: &[&str]| WatchChatsRequest {
            chat_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..all()
        };
        let many: Vec<String> = (0..101).map(|_| Uuid::now_v7().to_string()).collect();
        let cases = [
            ("chat_ids[1]", ids(&[&id, "me"])),
            ("chat_ids[1]", ids(&[&id, &id])),
            (
                "chat_ids",
                WatchChatsRequest {
                    chat_ids: many,
                    ..all()
                },
            ),
            (
                "owner_id",
                WatchChatsRequest {
                    owner_id: Some("me".to_owned()),
                    ..all()
                },
            ),
            (
                "statuses[0]",
                WatchChatsRequest {
                    statuses: vec![0],
                    ..all()
                },
            ),
            (
                "repository",
                WatchChatsRequest {
                    repository: Some("acme".to_owned()),
                    ..all()
                },
            ),
            (
                "title",
                WatchChatsRequest {
                    title: Some(String::new()),
                    ..all()
                },
            ),
            (
                "since_revision",
                WatchChatsRequest {
                    since_revision: Some("yesterday".to_owned()),
                    ..all()
                },
            ),
            ("view", WatchChatsRequest { view: 9, ..all() }),
        ];
        for (field, request) in cases {
            let answer = stack.chats(&Caller::user()).watch_chats(request).await;
            let (code, _, named) = refused(answer);
            assert_eq!(
                (code, named.as_deref()),
                (Code::InvalidArgument, Some(field))
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_revision_is_good_for_the_same_filters_in_any_order_and_view_and_else_a_resync() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let filters = WatchChatsRequest {
            statuses: vec![ChatStatus::Waiting.into(), ChatStatus::Error.into()],
            ..WatchChatsRequest::default()
        };
        let (first, _) = begin(stack, &owner, filters.clone()).await;
        let since = WatchChatsRequest {
            since_revision: Some(first.revision.clone()),
            ..filters
        };
        let same = WatchChatsRequest {
            statuses: vec![ChatStatus::Error.into(), ChatStatus::Waiting.into()],
            view: ChatView::Basic.into(),
            ..since.clone()
        };
        let others = [
            WatchChatsRequest {
                statuses: Vec::new(),
                ..since.clone()
            },
            WatchChatsRequest {
                shared_with_me: true,
                ..since.clone()
            },
            WatchChatsRequest {
                chat_ids: vec![Uuid::now_v7().to_string()],
                ..since
            },
        ];
        for other in others {
            let (again, mut stream) = begin(stack, &owner, other).await;
            assert_eq!(again, first, "nothing was heard yet");
            assert_eq!(next(&mut stream).await.kind(), Resync);
        }
        let (again, mut stream) = begin(stack, &owner, same).await;
        assert_eq!(again, first);
        let chat = stack.chat(&owner).await;
        let (kind, shown) = next_chat(&mut stream).await;
        assert_eq!((kind, shown.id), (Created, chat.id));
    })
    .await;
}
