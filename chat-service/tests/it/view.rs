//! How much of a chat is shown to which caller.

use prost::Message as _;
use proto::chat::v1::{
    Chat, ChatDiffStatus, ChatView, CreateChatRequest, GetChatRequest, GetChatsRequest,
    PullRequest, PullRequestState, UpdateChatSharingRequest, outcome,
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    stack::{Caller, Stack, group, refused, user},
    watch::{next_chat, watch},
    worker::{Owner, Worker, found, found_in, git_ref, make_all_due, none, pull_request},
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
                author_login: None,
                author_avatar_url: None,
                commits: None,
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

/// With the texts of the benchmark of lists: of ten chats seven have a branch, five of these a pull
/// request, and four chats a label.
#[tokio::test]
async fn a_page_in_the_basic_view_has_at_most_half_of_the_bytes_of_the_full_one() {
    Stack::run(async |stack| {
        let organization = Uuid::now_v7();
        let caller = Caller::user().member(organization, "member");
        let owner = Owner { stack, caller };
        owner.link("ghp_0123456789").await;
        let worker = Worker::of(stack);
        for number in 1141..1151 {
            let title = format!("Fix the flaky release script {number}");
            let new = CreateChatRequest {
                title: title.clone(),
                workspace_id: Some(Uuid::now_v7().to_string()),
                organization_id: Some(organization.to_string()),
                labels: (number < 1145)
                    .then(|| ("team".to_owned(), "team-7".to_owned()))
                    .into_iter()
                    .collect(),
                ..CreateChatRequest::default()
            };
            let chat = stack.chat_with(&owner.caller, new).await;
            if number >= 1148 {
                continue;
            }
            let repository = "acme-7/service-1127";
            let (origin, branch) = (
                format!("https://github.com/{repository}.git"),
                format!("agent/task-{number}-1"),
            );
            let report = git_ref(&chat.id, &origin, &branch);
            owner.try_report(report).await.unwrap();
            let found = PullRequest {
                repository: repository.to_owned(),
                number,
                url: format!("https://github.com/{repository}/pull/{number}"),
                title,
                head_branch: branch,
                author_login: Some(format!("octo-{number}")),
                author_avatar_url: Some(format!(
                    "https://avatars.githubusercontent.com/u/{number}?v=4"
                )),
                host_id: Some(format!("PR_{number}")),
                ..pull_request()
            };
            let result = if number < 1146 {
                outcome::Result::Found(found)
            } else {
                none()
            };
            worker.answer(result).await;
        }
        let bytes = async |view| {
            let request = in_view(view);
            let page = stack.chats(&owner.caller).get_chats(request).await.unwrap();
            page.into_inner().encoded_len()
        };
        let (basic, full) = (bytes(ChatView::Basic).await, bytes(ChatView::Full).await);
        assert!(2 * basic <= full, "{basic} of {full} bytes");
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
