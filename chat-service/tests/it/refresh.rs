//! `RefreshChat`: the workers' pipeline, on demand.

mod reason;
mod wait;

use std::time::Duration;

use prost::Message as _;
use proto::chat::v1::{self, ProblemClass};
use tonic::{Code, Request, Status};
use tonic_types::{StatusExt as _, pb};
use uuid::Uuid;

use crate::{
    lock::{Holder, until_blocked},
    stack::{Caller, Stack, facts, refused},
    worker::{
        Leased, Owner, Worker, failed, found, gone, limited, none, outcome, pull_request, report,
        value,
    },
};

async fn refresh(stack: &Stack, caller: &Caller, chat: &str) -> Result<v1::Chat, Status> {
    let request = v1::RefreshChatRequest {
        chat_id: chat.to_owned(),
    };
    let response = stack.chats(caller).refresh_chat(request).await?;
    Ok(response.into_inner().chat.unwrap())
}

/// What the details of an error say is known of the chat.
fn known(status: &Status) -> v1::Chat {
    let details = pb::Status::decode(status.details()).unwrap().details;
    let any = details
        .iter()
        .find(|any| any.type_url == "type.googleapis.com/chat.v1.GetChatResponse")
        .unwrap();
    v1::GetChatResponse::decode(any.value.as_slice())
        .unwrap()
        .chat
        .unwrap()
}

/// The lane of the only ref: 1 while a call waits for it.
async fn lane(stack: &Stack) -> i16 {
    value(stack, "SELECT lane FROM git_ref_polls").await
}

/// Answers the next lease with `result`.
async fn answer_when_due(worker: &Worker, result: v1::outcome::Result) -> v1::Lane {
    let lease = Leased(worker.wait_for_lease().await.remove(0));
    let lane = lease.git_ref().lane();
    worker
        .finish(&lease, vec![outcome(lease.git_ref(), result)])
        .await;
    lane
}

#[tokio::test]
async fn a_refresh_returns_the_hosts_latest_answer() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(none()).await;
        let (chat, lane) = tokio::join!(
            refresh(stack, &owner.caller, &chat.id),
            answer_when_due(&worker, found()),
        );
        let status = chat.unwrap().diff_status.unwrap();
        assert_eq!(status.pr_number, Some(7));
        assert_eq!(status.freshness(), v1::Freshness::Fresh);
        assert_eq!(lane, v1::Lane::Interactive);
    })
    .await;
}

#[tokio::test]
async fn a_refresh_without_a_pull_request_says_so() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        let (chat, _) = tokio::join!(
            refresh(stack, &owner.caller, &chat.id),
            answer_when_due(&worker, none()),
        );
        let status = chat.unwrap().diff_status.unwrap();
        assert_eq!((status.pull_request_state, status.problem), (None, None));
    })
    .await;
}

#[tokio::test]
async fn a_refresh_of_a_chat_without_refs_returns_it_as_it_is() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = stack.chat(&owner.caller).await;
        let refreshed = refresh(stack, &owner.caller, &chat.id).await.unwrap();
        assert_eq!(refreshed.diff_status, None);
    })
    .await;
}

#[tokio::test]
async fn a_refresh_that_fails_is_a_classed_error_and_tells_what_is_known() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        for (class, code, reason) in [
            (
                ProblemClass::HostUnavailable,
                Code::Unavailable,
                "GIT_HOST_FAILED",
            ),
            (
                ProblemClass::HostAnswerInvalid,
                Code::Unavailable,
                "GIT_HOST_FAILED",
            ),
            (
                ProblemClass::AccessDenied,
                Code::FailedPrecondition,
                "GIT_ACCESS_DENIED",
            ),
            (
                ProblemClass::RepositoryNotFound,
                Code::FailedPrecondition,
                "GIT_ACCESS_DENIED",
            ),
            (
                ProblemClass::ProviderUnsupported,
                Code::FailedPrecondition,
                "PROVIDER_NOT_CONFIGURED",
            ),
            (
                ProblemClass::Internal,
                Code::Unavailable,
                "OUTCOME_NOT_STORED",
            ),
        ] {
            let (refused, _) = tokio::join!(
                refresh(stack, &owner.caller, &chat.id),
                answer_when_due(&worker, failed(class)),
            );
            let status = refused.unwrap_err();
            assert_eq!(facts(&status), (code, reason.to_owned(), None), "{class:?}");
            let known = known(&status).diff_status.unwrap();
            assert_eq!(known.pr_number, Some(7), "{class:?}");
            assert_eq!(known.problem.unwrap().class(), class);
        }
        let (chat, _) = tokio::join!(
            refresh(stack, &owner.caller, &chat.id),
            answer_when_due(&worker, gone()),
        );
        let status = chat.unwrap().diff_status.unwrap();
        assert_eq!(
            status.problem.unwrap().class(),
            ProblemClass::PullRequestGone
        );
    })
    .await;
}

#[tokio::test]
async fn a_refresh_whose_outcome_cannot_be_stored_fails_and_the_old_status_stays() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        let bad = v1::PullRequest {
            changed_files: -1,
            title: "new".to_owned(),
            ..pull_request()
        };
        let (refused, _) = tokio::join!(
            refresh(stack, &owner.caller, &chat.id),
            answer_when_due(&worker, v1::outcome::Result::Found(bad)),
        );
        let status = refused.unwrap_err();
        assert_eq!(
            facts(&status),
            (Code::Unavailable, "OUTCOME_NOT_STORED".to_owned(), None)
        );
        assert_eq!(
            known(&status).diff_status.unwrap().pull_request_title,
            "Add a thing"
        );
    })
    .await;
}

#[tokio::test]
async fn without_a_worker_a_refresh_is_unavailable_in_time() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let mut request = Request::new(v1::RefreshChatRequest {
            chat_id: chat.id.clone(),
        });
        request.set_timeout(Duration::from_millis(1500));
        let status = stack
            .chats(&owner.caller)
            .refresh_chat(request)
            .await
            .unwrap_err();
        assert_eq!(
            facts(&status),
            (Code::Unavailable, "NO_WORKER_IN_TIME".to_owned(), None)
        );
        assert_eq!(known(&status).id, chat.id);
        assert_eq!(
            Worker::of(stack).lease_one().await.git_ref().lane(),
            v1::Lane::Interactive
        );
    })
    .await;
}

#[tokio::test]
async fn a_refresh_joins_one_that_is_under_way() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let finish = async {
            // Both have marked the chat when the ref is in the interactive lane.
            testkit::wait::until("a call waits", || async {
                let lane = lane(stack).await;
                if lane == 1 { Ok(()) } else { Err(lane) }
            })
            .await;
            worker
                .finish(&lease, vec![outcome(lease.git_ref(), found())])
                .await;
        };
        let (chat, ()) = tokio::join!(refresh(stack, &owner.caller, &chat.id), finish);
        assert_eq!(chat.unwrap().diff_status.unwrap().pr_number, Some(7));
        assert!(
            worker.lease().await.is_empty(),
            "it was not looked up twice"
        );
    })
    .await;
}

#[tokio::test]
async fn refreshes_of_one_chat_at_once_are_one_lookup_and_all_get_its_outcome() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(none()).await;
        let holder = Holder::of(stack, "SELECT id FROM chats FOR UPDATE").await;
        let answering = async {
            until_blocked(stack, 2).await;
            holder.let_go().await;
            testkit::wait::until("both have asked", || async {
                let asking: i64 = value(
                    stack,
                    "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name = 'chat-service'
                        AND xact_start IS NOT NULL",
                )
                .await;
                if asking == 0 { Ok(()) } else { Err(asking) }
            })
            .await;
            let lease = Leased(worker.wait_for_lease().await.remove(0));
            assert_eq!(lease.git_ref().lane(), v1::Lane::Interactive);
            worker
                .finish(&lease, vec![outcome(lease.git_ref(), found())])
                .await;
        };
        let (one, other, ()) = tokio::join!(
            refresh(stack, &owner.caller, &chat.id),
            refresh(stack, &owner.caller, &chat.id),
            answering
        );
        for chat in [one, other] {
            assert_eq!(chat.unwrap().diff_status.unwrap().pr_number, Some(7));
        }
        let lookups: i64 = value(stack, "SELECT outcome_seq FROM git_ref_polls").await;
        assert_eq!(lookups, 2, "the first one's, and one for both");
        assert!(worker.lease().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_refresh_lifts_no_pause() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let mut paused = report(
            &lease.0.lease_token,
            vec![outcome(lease.git_ref(), found())],
        );
        paused.budget = Some(limited());
        worker.try_report(paused).await.unwrap();
        let status = refresh(stack, &owner.caller, &chat.id).await.unwrap_err();
        assert_eq!(
            facts(&status),
            (
                Code::ResourceExhausted,
                "GIT_HOST_RATE_LIMITED".to_owned(),
                None
            )
        );
        let retry = status
            .get_error_details()
            .retry_info()
            .and_then(|info| info.retry_delay)
            .unwrap();
        assert!((590..=600).contains(&retry.as_secs()), "{retry:?}");
        assert_eq!(known(&status).diff_status.unwrap().pr_number, Some(7));
        assert!(worker.lease().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_refresh_of_an_owner_without_an_account_says_so_at_once() {
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        let chat = owner.chat("feat/x").await;
        for _ in 0..2 {
            let status = refresh(stack, &owner.caller, &chat.id).await.unwrap_err();
            assert_eq!(
                facts(&status),
                (
                    Code::FailedPrecondition,
                    "GIT_ACCOUNT_NOT_LINKED".to_owned(),
                    None
                )
            );
            let known = known(&status).diff_status.unwrap();
            assert_eq!(known.problem.unwrap().class(), ProblemClass::NoAccount);
            // And so it is when one was linked, and is gone.
            owner.link("ghp_hush").await;
            owner.unlink().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_refresh_is_for_those_who_may() {
    Stack::run(async |stack| {
        let organization = Uuid::now_v7();
        let owner = Owner {
            stack,
            caller: Caller::user().member(organization, "member"),
        };
        let request = v1::CreateChatRequest {
            organization_id: Some(organization.to_string()),
            ..v1::CreateChatRequest::default()
        };
        let chat = stack.chat_with(&owner.caller, request).await;
        for caller in [
            owner.caller.clone(),
            Caller::internal(),
            Caller::user().site("admin"),
        ] {
            refresh(stack, &caller, &chat.id).await.unwrap();
        }
        for (caller, code) in [
            (
                Caller::user().member(organization, "admin"),
                Code::PermissionDenied,
            ),
            (Caller::user().site("auditor"), Code::PermissionDenied),
            (Caller::user(), Code::NotFound),
            (Caller::gitsync(), Code::NotFound),
        ] {
            assert_eq!(refused(refresh(stack, &caller, &chat.id).await).0, code);
        }
    })
    .await;
}
