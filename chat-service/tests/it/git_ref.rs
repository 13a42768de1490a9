//! Reports of git refs.

use proto::chat::v1;
use tonic::Code;
use uuid::Uuid;

use crate::{
    lock::{Holder, until_blocked},
    stack::{Caller, Stack, refused},
    worker::{
        Leased, Owner, Worker, events, found, found_in, git_ref, none, outcome, report_earlier,
        value,
    },
};

async fn report_seq(stack: &Stack) -> i64 {
    stack
        .database
        .client()
        .await
        .query_one("SELECT max(report_seq) FROM git_ref_polls", &[])
        .await
        .unwrap()
        .try_get(0)
        .unwrap()
}

#[tokio::test]
async fn a_report_shows_the_branch_at_once() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = stack.chat(&owner.caller).await;
        let origin = "https://ann:ghp_hush@GitHub.com/Acme/Web.git";
        let mut request = git_ref(&chat.id, origin, "feat/x");
        request.commit = Some("A".repeat(40));
        let reached = owner.try_report(request).await.unwrap();
        assert_eq!(reached, std::slice::from_ref(&chat.id));
        let status = owner.status(&chat.id).await;
        assert_eq!(status.git_remote_origin, "https://GitHub.com/Acme/Web.git");
        assert_eq!(status.repository, "Acme/Web");
        assert_eq!(status.provider_id, "github");
        assert!(status.primary);
        assert_eq!(status.freshness(), v1::Freshness::Unspecified);
        assert!(status.next_refresh_at.is_some());
        assert_eq!(events(stack, &chat.id).await, 1);
        let lease = Worker::of(stack).lease_one().await;
        assert_eq!(lease.git_ref().commit, Some("a".repeat(40)));
    })
    .await;
}

#[tokio::test]
async fn reports_of_one_ref_within_three_seconds_coalesce_while_it_waits() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        owner.report(&chat.id, "feat/x").await;
        owner.report(&chat.id, "feat/x").await;
        assert_eq!(report_seq(stack).await, 1);
        assert_eq!(events(stack, &chat.id).await, 1);

        report_earlier(stack).await;
        owner.report(&chat.id, "feat/x").await;
        assert_eq!(
            report_seq(stack).await,
            2,
            "three seconds later it is another report"
        );

        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        owner.report(&chat.id, "feat/x").await;
        assert_eq!(
            report_seq(stack).await,
            3,
            "a lookup that began before does not answer it"
        );
        worker
            .finish(&lease, vec![outcome(lease.git_ref(), none())])
            .await;
        assert_eq!(worker.lease().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn going_back_to_an_earlier_branch_keeps_what_is_known_of_it() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        owner.report(&chat.id, "feat/y").await;
        let status = owner.status(&chat.id).await;
        assert_eq!(
            (status.git_branch.as_str(), status.pr_number),
            ("feat/y", None)
        );
        owner.report(&chat.id, "feat/x").await;
        let chat = owner.get(&chat.id).await;
        let status = chat.diff_status.unwrap();
        assert_eq!(
            (status.git_branch.as_str(), status.pr_number),
            ("feat/x", Some(7))
        );
        assert_eq!(chat.diff_statuses.len(), 2);
        assert_eq!(
            chat.diff_statuses
                .iter()
                .filter(|status| status.primary)
                .count(),
            1
        );
    })
    .await;
}

#[tokio::test]
async fn a_branch_that_the_chat_left_stays_due_until_it_was_looked_up() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found_in(v1::PullRequestState::Merged)).await;
        report_earlier(stack).await;
        // Pushed again, and left for another one before a worker's turn.
        owner.report(&chat.id, "feat/x").await;
        owner.report(&chat.id, "feat/y").await;
        let lease = Leased(worker.lease().await.remove(0));
        assert_eq!(lease.refs().len(), 2);
        let outcomes = lease.refs().into_iter().map(|git_ref| {
            let result = match git_ref.branch.as_str() {
                "feat/x" => found_in(v1::PullRequestState::Merged),
                _ => none(),
            };
            outcome(git_ref, result)
        });
        worker.finish(&lease, outcomes.collect()).await;
        let chat = owner.get(&chat.id).await;
        let planned: Vec<(&str, bool)> = chat
            .diff_statuses
            .iter()
            .map(|status| (status.git_branch.as_str(), status.next_refresh_at.is_some()))
            .collect();
        assert_eq!(planned, [("feat/y", true), ("feat/x", false)]);
    })
    .await;
}

#[tokio::test]
async fn a_report_that_waited_for_an_outcome_is_looked_up_though_it_began_before() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(none()).await;
        report_earlier(stack).await;
        // The report begins, waits for the ref, and is committed after an outcome that begins
        // later.
        let holder = Holder::of(stack, "SELECT FROM git_ref_polls FOR NO KEY UPDATE").await;
        let looking = async {
            until_blocked(stack, 1).await;
            holder
                .run("UPDATE git_ref_polls SET refreshed_at = clock_timestamp()")
                .await;
            holder.let_go().await;
        };
        tokio::join!(owner.report(&chat.id, "feat/x"), looking);
        owner.report(&chat.id, "feat/y").await;
        let lease = Leased(worker.lease().await.remove(0));
        let mut branches = lease.branches();
        branches.sort_unstable();
        assert_eq!(branches, ["feat/x", "feat/y"]);
    })
    .await;
}

#[tokio::test]
async fn an_archived_chat_leaves_its_account_and_budget_without_a_place() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let archive = v1::UpdateChatRequest {
            chat_id: chat.id,
            archived: Some(true),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["archived".to_owned()],
            }),
            ..v1::UpdateChatRequest::default()
        };
        stack
            .chats(&owner.caller)
            .update_chat(archive)
            .await
            .unwrap();
        let placed = "SELECT count(*) FROM git_accounts a JOIN git_budgets b ON b.id = a.budget_id
            WHERE a.next_due_at IS NOT NULL OR b.queue_at IS NOT NULL";
        assert_eq!(value::<i64>(stack, placed).await, 0);
    })
    .await;
}

#[tokio::test]
async fn lists_are_filtered_by_the_primary_ref_as_it_is_now() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let listed = async |state: v1::PullRequestState| {
            let by_state = v1::GetChatsRequest {
                pull_request_states: vec![state.into()],
                ..v1::GetChatsRequest::default()
            };
            let by_number = v1::GetChatsRequest {
                pull_request_number: Some(7),
                repository: Some("Acme/Web".to_owned()),
                ..v1::GetChatsRequest::default()
            };
            let mut counts = Vec::new();
            for request in [by_state, by_number] {
                let page = stack.chats(&owner.caller).get_chats(request).await.unwrap();
                counts.push(page.into_inner().chats.len());
            }
            counts
        };
        worker.answer(found()).await;
        assert_eq!(listed(v1::PullRequestState::Open).await, [1, 1]);
        owner.report(&chat.id, "feat/y").await;
        assert_eq!(listed(v1::PullRequestState::Open).await, [0, 0]);
        owner.report(&chat.id, "feat/x").await;
        assert_eq!(listed(v1::PullRequestState::Open).await, [1, 1]);
        let lease = Leased(worker.lease().await.remove(0));
        assert_eq!(lease.refs().len(), 2);
        let of_x = lease
            .refs()
            .into_iter()
            .find(|git_ref| git_ref.branch == "feat/x");
        let merged = outcome(of_x.unwrap(), found_in(v1::PullRequestState::Merged));
        worker.finish(&lease, vec![merged]).await;
        assert_eq!(listed(v1::PullRequestState::Open).await, [0, 1]);
        assert_eq!(listed(v1::PullRequestState::Merged).await, [1, 1]);
    })
    .await;
}

#[tokio::test]
async fn a_push_in_a_workspace_reaches_all_unarchived_chats_of_its_owner() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let workspace_id = Uuid::now_v7().to_string();
        let in_workspace = |workspace: &str| v1::CreateChatRequest {
            workspace_id: Some(workspace.to_owned()),
            ..v1::CreateChatRequest::default()
        };
        let mut expected = Vec::new();
        for _ in 0..60 {
            expected.push(
                stack
                    .chat_with(&owner.caller, in_workspace(&workspace_id))
                    .await
                    .id,
            );
        }
        let elsewhere = in_workspace(&Uuid::now_v7().to_string());
        let elsewhere = stack.chat_with(&owner.caller, elsewhere).await;
        let foreign = stack
            .chat_with(&Caller::user(), in_workspace(&workspace_id))
            .await;
        let archived = expected.pop().unwrap();
        let archive = v1::UpdateChatRequest {
            chat_id: archived.clone(),
            archived: Some(true),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["archived".to_owned()],
            }),
            ..v1::UpdateChatRequest::default()
        };
        stack
            .chats(&owner.caller)
            .update_chat(archive)
            .await
            .unwrap();

        let push = v1::ReportGitRefRequest {
            target: Some(v1::report_git_ref_request::Target::Workspace(
                v1::WorkspaceChats {
                    owner_id: owner.caller.id(),
                    workspace_id,
                },
            )),
            ..git_ref("", "git@github.com:acme/web.git", "feat/x")
        };
        let mut reached = owner.try_report(push.clone()).await.unwrap();
        reached.sort_unstable();
        expected.sort_unstable();
        assert_eq!(reached, expected);
        for chat in [&archived, &elsewhere.id] {
            assert_eq!(owner.get(chat).await.diff_status, None);
        }
        assert_ne!(foreign.owner_id, owner.caller.id());

        let internal = stack
            .chats(&Caller::internal())
            .report_git_ref(push.clone())
            .await
            .unwrap();
        assert_eq!(internal.into_inner().chat_ids.len(), 59);
        for caller in [
            Caller::user(),
            Caller::user().site("admin"),
            Caller::gitsync(),
        ] {
            let refusal = stack.chats(&caller).report_git_ref(push.clone()).await;
            assert_eq!(refused(refusal).0, Code::PermissionDenied);
        }
    })
    .await;
}

#[tokio::test]
async fn a_writer_cannot_point_a_chat_at_another_repository() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let writer = Caller::user();
        let share = v1::UpdateChatSharingRequest {
            chat_id: chat.id.clone(),
            add_writers: vec![v1::Subject {
                subject: Some(v1::subject::Subject::UserId(writer.id())),
            }],
            ..v1::UpdateChatSharingRequest::default()
        };
        stack
            .chats(&owner.caller)
            .update_chat_sharing(share)
            .await
            .unwrap();
        for (caller, code) in [
            (writer, Code::PermissionDenied),
            (Caller::user().site("admin"), Code::PermissionDenied),
            (Caller::user().site("auditor"), Code::PermissionDenied),
            (Caller::user(), Code::NotFound),
            (Caller::gitsync(), Code::NotFound),
            (owner.caller.clone().suspended(), Code::NotFound),
        ] {
            let request = git_ref(&chat.id, "https://github.com/acme/secret", "main");
            let refusal = stack.chats(&caller).report_git_ref(request).await;
            assert_eq!(refused(refusal).0, code);
        }
        let unknown = git_ref(
            &Uuid::now_v7().to_string(),
            "https://github.com/acme/web",
            "main",
        );
        assert_eq!(refused(owner.try_report(unknown).await).0, Code::NotFound);
        assert_eq!(owner.get(&chat.id).await.diff_statuses.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_a_git_ref_is_refused_by_field_and_reason() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = stack.chat(&owner.caller).await;
        let good = git_ref(&chat.id, "https://github.com/acme/web", "feat/x");
        for (request, field, reason) in [
            (
                git_ref(&chat.id, "https://gitlab.com/acme/web", "x"),
                "git_remote_origin",
                "PROVIDER_NOT_CONFIGURED",
            ),
            (
                git_ref(&chat.id, "/srv/web", "x"),
                "git_remote_origin",
                "FIELD_INVALID",
            ),
            (
                git_ref(&chat.id, "", "x"),
                "git_remote_origin",
                "FIELD_INVALID",
            ),
            (
                git_ref(&chat.id, &good.git_remote_origin, "a..b"),
                "git_branch",
                "FIELD_INVALID",
            ),
            (
                git_ref(&chat.id, &good.git_remote_origin, ""),
                "git_branch",
                "FIELD_INVALID",
            ),
            (
                v1::ReportGitRefRequest {
                    commit: Some("abc".to_owned()),
                    ..good.clone()
                },
                "commit",
                "FIELD_INVALID",
            ),
            (
                git_ref("x", &good.git_remote_origin, "x"),
                "chat_id",
                "FIELD_INVALID",
            ),
        ] {
            let (code, got, named) = refused(owner.try_report(request).await);
            assert_eq!(
                (code, got.as_str()),
                (Code::InvalidArgument, reason),
                "{field}"
            );
            assert_eq!(named.as_deref(), Some(field));
        }
        let no_target = v1::ReportGitRefRequest {
            target: None,
            ..good
        };
        assert_eq!(
            refused(owner.try_report(no_target).await).0,
            Code::InvalidArgument
        );
        assert_eq!(owner.get(&chat.id).await.diff_status, None);
    })
    .await;
}

#[tokio::test]
async fn a_chat_keeps_twenty_refs_those_with_open_pull_requests_longest() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/open").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        for number in 0..21 {
            owner.report(&chat.id, &format!("feat/{number}")).await;
        }
        let chat = owner.get(&chat.id).await;
        let branches: Vec<&str> = chat
            .diff_statuses
            .iter()
            .map(|status| status.git_branch.as_str())
            .collect();
        assert_eq!(branches.len(), 20);
        assert!(branches.contains(&"feat/open"));
        assert_eq!(branches.first(), Some(&"feat/20"));
        assert!(!branches.contains(&"feat/0") && !branches.contains(&"feat/1"));
    })
    .await;
}

#[tokio::test]
async fn refs_of_one_repository_in_any_spelling_are_one() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = stack.chat(&owner.caller).await;
        for origin in [
            "https://github.com/acme/web",
            "git@github.com:Acme/Web.git",
            "ssh://git@ssh.github.com:443/ACME/WEB",
        ] {
            owner
                .try_report(git_ref(&chat.id, origin, "feat/x"))
                .await
                .unwrap();
        }
        assert_eq!(owner.get(&chat.id).await.diff_statuses.len(), 1);
        owner
            .try_report(git_ref(&chat.id, "https://github.com/acme/web", "Feat/X"))
            .await
            .unwrap();
        assert_eq!(
            owner.get(&chat.id).await.diff_statuses.len(),
            2,
            "branches have a case"
        );
        let lease = Leased(Worker::of(stack).lease().await.remove(0));
        let mut branches = lease.branches();
        branches.sort_unstable();
        assert_eq!(branches, ["Feat/X", "feat/x"]);
    })
    .await;
}
