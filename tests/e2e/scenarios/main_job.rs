//! The main job: an agent reports a branch, the worker finds its pull request, and exactly those
//! who may read the chat see it.

use e2e::stack::{HOST, Stack};
use proto::chat::v1::{
    self, ChatDiffStatus, CreateChatRequest, Freshness, GetChatRequest, GetChatsRequest,
    ProblemClass, PullRequestState, Subject, UpdateChatSharingRequest, WatchChatsRequest,
    WatchEventKind, report_git_ref_request::Target, subject,
};
use testkit::{clients::Caller, github::ReviewState};
use tonic::Code;
use uuid::Uuid;

#[tokio::test]
async fn statuses_in_every_state_are_filled_in_and_seen_by_those_who_may() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let organization = Uuid::now_v7();
        let owner = Caller::user().member(organization, "member");
        let ann = stack.github.user("ann");
        stack.github.user("bob");
        let web = stack.github.repository("acme/web");
        web.private().grant(&ann);
        let pull = |branch: &str| {
            stack
                .github
                .pull_request("acme/web")
                .head(branch)
                .author("ann")
                .title(&format!("About {branch}"))
                .diff(10, 3, 2)
                .commits(4)
        };
        let number = pull("open").open();
        stack
            .github
            .review("acme/web", number, "bob", ReviewState::Approved);
        pull("draft").draft().open();
        pull("merged").merged();
        pull("closed").closed();
        stack.link(&owner, "ann").await;

        let mut chats = Vec::new();
        for branch in ["open", "draft", "merged", "closed"] {
            let request = CreateChatRequest {
                organization_id: Some(organization.to_string()),
                title: branch.to_owned(),
                ..CreateChatRequest::default()
            };
            let chat = stack
                .chats(&owner)
                .create_chat(request)
                .await
                .unwrap()
                .into_inner();
            let chat = chat.chat.unwrap();
            stack.report(&owner, &chat, "acme/web", branch).await;
            chats.push((branch, chat));
        }
        for (branch, chat) in &chats {
            let wanted = match *branch {
                "open" => Some(PullRequestState::Open),
                "draft" => Some(PullRequestState::Draft),
                // By branch only open ones are adopted: a settled one may be of an older use of its
                // name.
                _ => None,
            };
            let status = stack
                .status_when(&owner, chat, "the first lookup is done", |status| {
                    status.freshness() == Freshness::Fresh
                })
                .await;
            assert_eq!(
                status
                    .pull_request_state
                    .map(|_| status.pull_request_state()),
                wanted
            );
            if wanted.is_some() {
                complete(&status, branch);
            }
        }
        let open = stack.status(&owner, &chats[0].1).await;
        assert_eq!((open.approved, open.reviewer_count), (Some(true), Some(1)));

        let admin = Caller::user().member(organization, "admin");
        for (name, caller, expected) in [
            ("owner", &owner, 4),
            ("org admin", &admin, 4),
            ("auditor", &Caller::user().site("auditor"), 4),
            ("stranger", &Caller::user(), 0),
        ] {
            let page = stack
                .chats(caller)
                .get_chats(GetChatsRequest::default())
                .await
                .unwrap();
            assert_eq!(page.into_inner().chats.len(), expected, "{name}");
        }
        vec![worker]
    })
    .await;
}

fn complete(status: &ChatDiffStatus, branch: &str) {
    assert_eq!(status.pull_request_title, format!("About {branch}"));
    assert_eq!(status.head_branch.as_deref(), Some(branch));
    assert_eq!(status.base_branch.as_deref(), Some("main"));
    assert_eq!(
        (status.additions, status.deletions, status.changed_files),
        (10, 3, 2)
    );
    assert_eq!(status.commits, Some(4));
    assert_eq!(status.author_login.as_deref(), Some("ann"));
    assert!(status.author_avatar_url.is_some() && status.head_sha.is_some());
    assert!(status.approved.is_some() && status.reviewer_count.is_some());
    assert!(status.refreshed_at.is_some() && status.next_refresh_at.is_some());
    let url = format!("https://{HOST}/acme/web/pull/{}", status.pr_number.unwrap());
    assert_eq!(status.url.as_deref(), Some(url.as_str()));
    assert!(status.problem.is_none());
}

#[tokio::test]
async fn a_pull_request_is_followed_until_it_is_merged_or_closed() {
    Stack::run(async |stack| {
        let worker = stack
            .worker_with(&[("GITSYNC_DIFF_STATUS_TTL", "100ms")])
            .await;
        let owner = stack.linked_user("ann").await;
        for (branch, state) in [
            ("one", PullRequestState::Merged),
            ("two", PullRequestState::Closed),
        ] {
            let number = stack.github.pull_request("acme/web").head(branch).open();
            let chat = stack.chat(&owner).await;
            stack.report(&owner, &chat, "acme/web", branch).await;
            stack
                .status_when(&owner, &chat, "the open pull request is seen", |status| {
                    status.pull_request_state() == PullRequestState::Open
                })
                .await;
            if state == PullRequestState::Merged {
                stack.github.merge("acme/web", number);
            } else {
                stack.github.close("acme/web", number);
            }
            let status = stack
                .status_when(&owner, &chat, "its end is seen", |status| {
                    status.pull_request_state() == state
                })
                .await;
            assert_eq!(status.pr_number, i32::try_from(number).ok());
        }
        vec![worker]
    })
    .await;
}

/// The worker waits in a long poll: the report ends it, before its 30 s are over.
#[tokio::test]
async fn a_report_is_looked_up_at_once_and_watchers_hear_the_full_status() {
    Stack::run(async |stack| {
        let worker = stack.worker_with(&[("GITSYNC_INTERVAL", "30s")]).await;
        let owner = stack.linked_user("ann").await;
        stack
            .github
            .pull_request("acme/web")
            .head("feature")
            .title("New")
            .draft()
            .open();
        let chat = stack.chat(&owner).await;
        let mut watch = stack
            .chats(&owner)
            .watch_chats(WatchChatsRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().chat, None);

        stack.report(&owner, &chat, "acme/web", "feature").await;
        let heard = async {
            loop {
                let message = watch.message().await.unwrap().unwrap();
                let status = message.chat.clone().and_then(|chat| chat.diff_status);
                match status {
                    Some(status) if status.pull_request_state.is_some() => {
                        return (message, status);
                    }
                    _ => {}
                }
            }
        };
        // Less than the interval, which alone would bring it too.
        let heard = tokio::time::timeout(std::time::Duration::from_secs(20), heard)
            .await
            .unwrap();
        let (message, status) = heard;
        assert_eq!(message.kind(), WatchEventKind::DiffStatusChanged);
        assert_eq!(status, stack.status(&owner, &chat).await);
        assert_eq!(status.pull_request_title, "New");
        assert_eq!(status.icon.as_deref(), Some("git-pull-request-draft"));
        assert_eq!(message.chat.unwrap().icon, "git-pull-request-draft");
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn no_account_costs_no_request_and_linking_one_wakes_the_ref_at_once() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let owner = Caller::user();
        stack.github.user("ann");
        stack.github.pull_request("acme/web").head("feature").open();
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, "acme/web", "feature").await;
        let status = stack
            .status_when(&owner, &chat, "the missing account is shown", |status| {
                status.problem.is_some()
            })
            .await;
        let problem = status.problem.unwrap();
        assert_eq!(problem.class(), ProblemClass::NoAccount);
        assert_eq!(problem.message, "link your github account");
        assert_eq!(status.next_refresh_at, None, "not before one is linked");
        assert_eq!(
            stack.github.requests().len(),
            0,
            "the host was asked without a credential"
        );
        stack.link(&owner, "ann").await;
        stack
            .status_when(&owner, &chat, "the pull request is found", |status| {
                status.pull_request_state() == PullRequestState::Open && status.problem.is_none()
            })
            .await;
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn a_branch_of_a_fork_leads_to_the_pull_request_upstream() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        stack.github.repository("acme/web");
        stack.github.fork("acme/web", "ann");
        let number = stack
            .github
            .pull_request("acme/web")
            .head("feature")
            .from_fork("ann/web")
            .open();
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, "ann/web", "feature").await;
        let status = stack
            .status_when(
                &owner,
                &chat,
                "the upstream pull request is found",
                |status| status.pull_request_state.is_some(),
            )
            .await;
        let url = format!("https://{HOST}/acme/web/pull/{number}");
        assert_eq!(status.url, Some(url));
        assert_eq!(status.repository, "ann/web");
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn a_report_for_a_workspace_reaches_all_unarchived_chats_of_the_owner_in_it() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let workspace = Uuid::now_v7().to_string();
        let create = |owner: &Caller, workspace: Option<String>| {
            let request = CreateChatRequest {
                workspace_id: workspace,
                ..CreateChatRequest::default()
            };
            let mut client = stack.chats(owner);
            async move {
                client
                    .create_chat(request)
                    .await
                    .unwrap()
                    .into_inner()
                    .chat
                    .unwrap()
            }
        };
        let mut expected = Vec::new();
        for _ in 0..60 {
            expected.push(create(&owner, Some(workspace.clone())).await.id);
        }
        create(&owner, None).await;
        create(&Caller::user(), Some(workspace.clone())).await;
        let archived = create(&owner, Some(workspace.clone())).await;
        let archive = v1::UpdateChatRequest {
            chat_id: archived.id,
            archived: Some(true),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["archived".to_owned()],
            }),
            ..v1::UpdateChatRequest::default()
        };
        stack.chats(&owner).update_chat(archive).await.unwrap();
        let report = v1::ReportGitRefRequest {
            target: Some(Target::Workspace(v1::WorkspaceChats {
                owner_id: owner.id(),
                workspace_id: workspace,
            })),
            git_remote_origin: "git@github.com:acme/web.git".to_owned(),
            git_branch: "feature".to_owned(),
            commit: None,
        };
        let denied = stack
            .chats(&Caller::user())
            .report_git_ref(report.clone())
            .await
            .unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
        let reported = stack
            .chats(&Caller::internal())
            .report_git_ref(report)
            .await
            .unwrap();
        let mut reported = reported.into_inner().chat_ids;
        reported.sort();
        expected.sort();
        assert_eq!(reported, expected);
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn a_chat_shared_with_a_writer_cannot_be_pointed_elsewhere_by_that_writer() {
    Stack::run(async |stack| {
        let owner = stack.linked_user("ann").await;
        let writer = Caller::user();
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, "acme/web", "feature").await;
        let share = UpdateChatSharingRequest {
            chat_id: chat.id.clone(),
            add_writers: vec![Subject {
                subject: Some(subject::Subject::UserId(writer.id())),
            }],
            ..UpdateChatSharingRequest::default()
        };
        stack
            .chats(&owner)
            .update_chat_sharing(share)
            .await
            .unwrap();
        for other in [&writer, &Caller::user().site("admin")] {
            let request = v1::ReportGitRefRequest {
                target: Some(Target::ChatId(chat.id.clone())),
                git_remote_origin: "https://github.com/acme/secret".to_owned(),
                git_branch: "main".to_owned(),
                commit: None,
            };
            let refused = stack
                .chats(other)
                .report_git_ref(request)
                .await
                .unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied);
        }
        let request = GetChatRequest {
            chat_id: chat.id.clone(),
            ..GetChatRequest::default()
        };
        let now = stack
            .chats(&writer)
            .get_chat(request)
            .await
            .unwrap()
            .into_inner()
            .chat
            .unwrap();
        let repositories: Vec<_> = now
            .diff_statuses
            .iter()
            .map(|s| s.repository.clone())
            .collect();
        assert_eq!(repositories, ["acme/web"]);
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn chats_of_one_owner_on_the_same_pull_request_are_one_lookup() {
    Stack::run(async |stack| {
        let owner = stack.linked_user("ann").await;
        stack.github.pull_request("acme/web").head("feature").open();
        let mut chats = Vec::new();
        for _ in 0..5 {
            let chat = stack.chat(&owner).await;
            stack.report(&owner, &chat, "acme/web", "feature").await;
            chats.push(chat);
        }
        let worker = stack.worker().await;
        for chat in &chats {
            stack
                .status_when(&owner, chat, "the pull request is seen", |status| {
                    status.pull_request_state.is_some()
                })
                .await;
        }
        let requests = stack.github.requests().len();
        assert!(requests <= 3, "{requests} requests for one pull request");
        vec![worker]
    })
    .await;
}
