//! `RefreshChat`: the same pipeline, on demand.

use e2e::stack::Stack;
use prost::Message as _;
use proto::chat::v1::{GetChatResponse, ProblemClass, PullRequestState, RefreshChatRequest};
use testkit::github::{Fault, Matching};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

/// The reason of a status, and the chat in its details.
fn facts(status: &Status) -> (Code, String, GetChatResponse) {
    let reason = status
        .get_error_details()
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default();
    let details = tonic_types::pb::Status::decode(status.details()).unwrap();
    let known = details
        .details
        .iter()
        .find(|any| any.type_url == "type.googleapis.com/chat.v1.GetChatResponse")
        .expect("the details hold what is known");
    (
        status.code(),
        reason,
        GetChatResponse::decode(known.value.as_slice()).unwrap(),
    )
}

#[tokio::test]
async fn a_refresh_returns_what_the_host_says_now() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        let chat = stack.chat(&owner).await;
        let refresh = || {
            let mut client = stack.chats(&owner);
            let request = RefreshChatRequest {
                chat_id: chat.id.clone(),
            };
            async move {
                client
                    .refresh_chat(request)
                    .await
                    .unwrap()
                    .into_inner()
                    .chat
                    .unwrap()
            }
        };
        assert_eq!(refresh().await.diff_status, None, "a chat without a ref");
        stack.github.repository("acme/web").push("feature");
        stack.report(&owner, &chat, "acme/web", "feature").await;
        let none = refresh().await.diff_status.unwrap();
        assert_eq!(
            (none.pull_request_state, none.problem),
            (None, None),
            "no pull request yet"
        );
        let number = stack
            .github
            .pull_request("acme/web")
            .head("feature")
            .title("First")
            .open();
        assert_eq!(
            refresh().await.diff_status.unwrap().pull_request_title,
            "First"
        );
        stack.github.merge("acme/web", number);
        let merged = refresh().await.diff_status.unwrap();
        assert_eq!(merged.pull_request_state(), PullRequestState::Merged);
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn when_the_host_fails_the_error_is_classed_and_the_old_status_stays() {
    Stack::run(async |stack| {
        stack.expect_warnings(&["call failed: the git host failed"]);
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        stack
            .github
            .pull_request("acme/web")
            .head("feature")
            .title("Kept")
            .open();
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, "acme/web", "feature").await;
        let before = stack
            .status_when(&owner, &chat, "the pull request is seen", |status| {
                status.pull_request_state.is_some()
            })
            .await;
        let elsewhere = testkit::github::GitHub::start().await;
        let faults: Vec<(Fault, ProblemClass)> = vec![
            (Fault::Status(503), ProblemClass::HostUnavailable),
            (Fault::Reset, ProblemClass::HostUnavailable),
            (Fault::Html, ProblemClass::HostAnswerInvalid),
            (Fault::TruncatedJson, ProblemClass::HostAnswerInvalid),
            (Fault::HalfBody, ProblemClass::HostAnswerInvalid),
            (
                Fault::LargeJson { bytes: 10_000_000 },
                ProblemClass::HostAnswerInvalid,
            ),
            (
                Fault::RedirectHost {
                    status: 302,
                    base: elsewhere.api_base_url(),
                },
                ProblemClass::HostAnswerInvalid,
            ),
        ];
        for (fault, class) in faults {
            let name = format!("{fault:?}");
            stack.github.clear_faults();
            stack.github.fault(Matching::any()).respond(fault);
            let request = RefreshChatRequest {
                chat_id: chat.id.clone(),
            };
            let failed = stack.chats(&owner).refresh_chat(request).await.unwrap_err();
            let (code, reason, known) = facts(&failed);
            assert_eq!(
                (code, reason.as_str()),
                (Code::Unavailable, "GIT_HOST_FAILED"),
                "{name}"
            );
            let known = known.chat.unwrap().diff_status.unwrap();
            assert_eq!(known.problem.as_ref().unwrap().class(), class, "{name}");
            assert_eq!(known.pull_request_title, "Kept");
            assert_eq!(known.refreshed_at, before.refreshed_at, "{name}");
            assert_eq!(
                known.pull_request_state, before.pull_request_state,
                "{name}"
            );
        }
        assert_eq!(elsewhere.requests().len(), 0, "another host was dialled");
        stack.github.clear_faults();
        let request = RefreshChatRequest {
            chat_id: chat.id.clone(),
        };
        let healed = stack
            .chats(&owner)
            .refresh_chat(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(healed.chat.unwrap().diff_status.unwrap().problem, None);
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn without_a_worker_it_is_unavailable_in_time() {
    Stack::run(async |stack| {
        stack.expect_warnings(&["call failed: no worker answered in time"]);
        let owner = stack.linked_user("ann").await;
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, "acme/web", "feature").await;
        let mut request = Request::new(RefreshChatRequest {
            chat_id: chat.id.clone(),
        });
        request.set_timeout(std::time::Duration::from_secs(2));
        let failed = stack.chats(&owner).refresh_chat(request).await.unwrap_err();
        let (code, reason, known) = facts(&failed);
        assert_eq!(
            (code, reason.as_str()),
            (Code::Unavailable, "NO_WORKER_IN_TIME")
        );
        assert_eq!(
            known.chat.unwrap().diff_status.unwrap().git_branch,
            "feature"
        );
        Vec::new()
    })
    .await;
}

/// A trigger stands in for a row that the database refuses.
#[tokio::test]
async fn when_the_write_fails_the_old_status_stays_and_others_are_written() {
    Stack::run(async |stack| {
        stack.expect_warnings(&[
            "a report cannot be stored as a whole; storing row by row",
            "chat-service cannot store outcomes",
            "call failed: what the git host said could not be stored",
        ]);
        stack.chat_service.expect_errors();
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        let numbers =
            ["bad", "good"].map(|branch| stack.github.pull_request("acme/web").head(branch).open());
        let mut chats = Vec::new();
        for branch in ["bad", "good"] {
            let chat = stack.chat(&owner).await;
            stack.report(&owner, &chat, "acme/web", branch).await;
            stack
                .status_when(&owner, &chat, "the pull request is seen", |status| {
                    status.pull_request_state.is_some()
                })
                .await;
            chats.push(chat);
        }
        let client = stack.database.client().await;
        client
            .batch_execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'check_violation'; END $$;
                 CREATE TRIGGER refuse BEFORE UPDATE ON git_refs FOR EACH ROW
                 WHEN (NEW.git_branch = 'bad' AND NEW.pull_request ->> 'state' = 'merged')
                 EXECUTE FUNCTION refuse();",
            )
            .await
            .unwrap();
        for number in numbers {
            stack.github.merge("acme/web", number);
        }
        let mut results = Vec::new();
        for chat in &chats {
            let request = RefreshChatRequest {
                chat_id: chat.id.clone(),
            };
            results.push(stack.chats(&owner).refresh_chat(request).await);
        }
        let good = results.pop().unwrap().unwrap().into_inner().chat.unwrap();
        assert_eq!(
            good.diff_status.unwrap().pull_request_state(),
            PullRequestState::Merged
        );
        let (code, _, known) = facts(&results.pop().unwrap().unwrap_err());
        assert_eq!(code, Code::Unavailable);
        let known = known.chat.unwrap().diff_status.unwrap();
        assert_eq!(known.pull_request_state(), PullRequestState::Open);
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn a_renamed_repository_redirects_once_and_is_shown_as_it_was_reported() {
    Stack::run(async |stack| {
        // GraphQL follows a new name at no cost.
        let worker = stack.worker_with(&[("GITSYNC_GRAPHQL", "false")]).await;
        let owner = stack.linked_user("ann").await;
        let chat = stack.chat(&owner).await;
        stack.github.repository("acme/web").push("feature");
        stack.github.rename("acme/web", "acme/site");
        stack.report(&owner, &chat, "acme/web", "feature").await;
        let reported = stack
            .status_when(&owner, &chat, "the branch is looked up", |status| {
                status.refreshed_at.is_some()
            })
            .await;
        assert!(stack.github.count("/repos/acme/web") > 0);

        stack.github.clear_requests();
        stack
            .github
            .pull_request("acme/site")
            .head("feature")
            .open();
        let request = RefreshChatRequest { chat_id: chat.id };
        let refreshed = stack.chats(&owner).refresh_chat(request).await.unwrap();
        let status = refreshed.into_inner().chat.unwrap().diff_status.unwrap();
        assert_eq!(status.pr_number, Some(1));
        assert_eq!(status.git_remote_origin, reported.git_remote_origin);
        assert_eq!(stack.github.count("/repos/acme/web"), 0);
        assert!(stack.github.count("/repos/acme/site") > 0);
        vec![worker]
    })
    .await;
}
