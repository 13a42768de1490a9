//! How much of a chat is shown to which caller.

use proto::chat::v1::{
    Chat, ChatDiffStatus, ChatView, GetChatRequest, GetChatsRequest, PullRequestState,
    UpdateChatSharingRequest,
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    stack::{Caller, Stack, group, refused, user},
    watch::{next_chat, watch},
    worker::{Owner, Worker, found, found_in, make_all_due},
};

async fn get(stack: &Stack, caller: &Caller, chat: &str, view: ChatView) -> Chat {
    let request = GetChatRequest {
        chat_id: chat.to_owned(),
        view: view.into(),
    };
    let answer = stack.chats(caller).get_chat(request).await.unwrap();
    answer.into_inner().chat.unwrap()
}

async fn list(stack: &Stack, caller: &Caller, request: GetChatsRequest) -> Vec<Chat> {
    let page = stack.chats(caller).get_chats(request).await.unwrap();
    page.into_inner().chats
}

fn in_view(view: ChatView) -> GetChatsRequest {
    GetChatsRequest {
        view: view.into(),
        ..GetChatsRequest::default()
    }
}

#[tokio::test]
async fn a_list_has_basic_rows_unless_it_is_asked_for_all() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        Worker::of(stack).answer(found()).await;
        let reader = user(&Caller::user());
        stack.share(&owner.caller, &chat.id, vec![reader]).await;
        let all = get(stack, &owner.caller, &chat.id, ChatView::Unspecified).await;
        assert_eq!((all.diff_statuses.len(), all.readers.len()), (1, 1));
        assert_eq!(all.diff_status, all.diff_statuses.first().cloned());
        let expected = Chat {
            diff_status: all.diff_status.clone().map(|status| ChatDiffStatus {
                chat_id: String::new(),
                git_remote_origin: String::new(),
                reported_at: None,
                head_branch: None,
                base_branch: None,
                head_sha: None,
                author_avatar_url: None,
                ..status
            }),
            diff_statuses: Vec::new(),
            readers: Vec::new(),
            ..all.clone()
        };
        for view in [ChatView::Unspecified, ChatView::Basic] {
            let rows = list(stack, &owner.caller, in_view(view)).await;
            assert_eq!(rows, std::slice::from_ref(&expected));
        }
        let basic = get(stack, &owner.caller, &chat.id, ChatView::Basic).await;
        assert_eq!(basic, expected);
        let rows = list(stack, &owner.caller, in_view(ChatView::Full)).await;
        assert_eq!(rows, [all]);
        let unknown = GetChatsRequest {
            view: 9,
            ..GetChatsRequest::default()
        };
        let answer = stack.chats(&owner.caller).get_chats(unknown).await;
        assert_eq!(refused(answer).0, Code::InvalidArgument);
    })
    .await;
}

#[tokio::test]
async fn shares_are_shown_only_to_callers_who_may_share_the_chat() {
    Stack::run(async |stack| {
        let (owner, reader) = (Caller::user(), Caller::user());
        let chat = stack.chat(&owner).await;
        let mut stream = watch(stack, &reader).await;
        stack.share(&owner, &chat.id, vec![user(&reader)]).await;
        let (_, heard) = next_chat(&mut stream).await;
        assert_eq!((heard.id, heard.readers), (chat.id.clone(), Vec::new()));
        let auditor = Caller::user().site("auditor");
        let admin = Caller::user().site("admin");
        for (who, caller, shown) in [
            ("owner", &owner, true),
            ("site admin", &admin, true),
            ("reader", &reader, false),
            ("auditor", &auditor, false),
        ] {
            let readers = if shown {
                vec![user(&reader)]
            } else {
                Vec::new()
            };
            let one = get(stack, caller, &chat.id, ChatView::Full).await;
            assert_eq!(one.readers, readers, "{who}");
            let rows = list(stack, caller, in_view(ChatView::Full)).await;
            assert_eq!(rows[0].readers, readers, "{who}");
        }
    })
    .await;
}

/// A share carries what lists filter by, also when no person changed it.
#[tokio::test]
async fn lists_of_what_is_shared_follow_the_pull_requests_state() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let reader = Caller::user();
        stack
            .share(&owner.caller, &chat.id, vec![user(&reader)])
            .await;
        let worker = Worker::of(stack);
        let listed = async |state: PullRequestState| {
            let request = GetChatsRequest {
                pull_request_states: vec![state.into()],
                ..GetChatsRequest::default()
            };
            list(stack, &reader, request).await.len()
        };
        assert_eq!(listed(PullRequestState::Open).await, 0);
        worker.answer(found()).await;
        assert_eq!(listed(PullRequestState::Open).await, 1);
        make_all_due(stack).await;
        worker.answer(found_in(PullRequestState::Merged)).await;
        assert_eq!(listed(PullRequestState::Open).await, 0);
        assert_eq!(listed(PullRequestState::Merged).await, 1);
        // Another branch has no pull request yet.
        owner.report(&chat.id, "feat/y").await;
        assert_eq!(listed(PullRequestState::Merged).await, 0);
    })
    .await;
}

mod race {
    use super::*;

    /// Each call is checked again by Cedar, with the shares by which the statement selected the
    /// chats.
    #[tokio::test(flavor = "multi_thread")]
    async fn shares_that_come_and_go_while_lists_are_read_raise_no_alarm() {
        Stack::run(async |stack| {
            let owner = Caller::user();
            let team = Uuid::now_v7();
            let reader = Caller::user().group(team);
            let mut chats = Vec::new();
            for _ in 0..20 {
                chats.push(stack.chat(&owner).await);
            }
            let mut tasks = tokio::task::JoinSet::new();
            for turn in 0..4 {
                let chats = chats.clone();
                let mut client = stack.chats(&owner);
                tasks.spawn(async move {
                    let member = group(team);
                    for round in 0..6 {
                        for chat in chats.iter().skip(turn).step_by(4) {
                            let mut request = UpdateChatSharingRequest {
                                chat_id: chat.id.clone(),
                                ..UpdateChatSharingRequest::default()
                            };
                            if round % 2 == 0 {
                                request.add_readers.push(member.clone());
                            } else {
                                request.remove.push(member.clone());
                            }
                            client.update_chat_sharing(request).await.unwrap();
                        }
                    }
                });
            }
            let mut shown = 0;
            while !tasks.is_empty() {
                for view in [ChatView::Basic, ChatView::Full] {
                    shown += list(stack, &reader, in_view(view)).await.len();
                }
                while let Some(done) = tasks.try_join_next() {
                    done.unwrap();
                }
            }
            assert!(shown > 0, "nothing was shared while it was listed");
        })
        .await;
    }
}
