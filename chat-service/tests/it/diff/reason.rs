//! Why there is no diff, as its caller hears it.

use std::time::Duration;

use proto::chat::v1::{self, ProblemClass, report_diff_request::Result as Of};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{answer, asking, diff, diff_within};
use crate::{
    stack::{Caller, Stack, facts, refused},
    worker::{Owner, Worker, failed, found, gone, limited, none, outcome, report, run, value},
};

fn failure(class: ProblemClass, after: Option<i64>) -> Of {
    Of::Failed(v1::DiffFailed {
        class: class.into(),
        retry_after: after.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
    })
}

#[tokio::test]
async fn each_failure_has_its_code_its_reason_and_when_to_come_back() {
    asking(async |stack, owner, chat, worker| {
        let access = ProblemClass::AccessDenied;
        for (answered, result, code, reason) in [
            (
                Of::TooLarge(v1::DiffTooLarge {}),
                found(),
                Code::FailedPrecondition,
                "DIFF_TOO_LARGE",
            ),
            (
                Of::Missing(v1::DiffMissing {}),
                gone(),
                Code::NotFound,
                "DIFF_NOT_FOUND",
            ),
            (
                failure(ProblemClass::RateLimited, Some(600)),
                found(),
                Code::ResourceExhausted,
                "GIT_HOST_RATE_LIMITED",
            ),
            (
                failure(ProblemClass::LimitReserved, None),
                found(),
                Code::ResourceExhausted,
                "GIT_HOST_LIMIT_RESERVED",
            ),
            (
                failure(access, None),
                failed(access),
                Code::FailedPrecondition,
                "GIT_ACCESS_DENIED",
            ),
            (
                failure(ProblemClass::HostUnavailable, None),
                none(),
                Code::Unavailable,
                "GIT_HOST_FAILED",
            ),
        ] {
            run(stack, "UPDATE git_diffs SET expires_at = now()").await;
            let (read, ()) = tokio::join!(
                diff(stack, &owner.caller, &chat.id),
                answer(stack, &worker, answered, result),
            );
            let status = read.unwrap_err();
            assert_eq!(facts(&status), (code, reason.to_owned(), None));
            let delay = status
                .get_error_details()
                .retry_info()
                .and_then(|info| info.retry_delay);
            let is_limit = reason == "GIT_HOST_RATE_LIMITED";
            assert_eq!(delay.is_some(), is_limit, "{reason}: {delay:?}");
            assert!(
                delay.is_none_or(|delay| delay > Duration::from_secs(500)),
                "{delay:?}"
            );
            // Those who come at once hear the same, without a request.
            let again = refused(diff(stack, &owner.caller, &chat.id).await);
            assert_eq!(again, (code, reason.to_owned(), None));
        }
    })
    .await;
}

#[tokio::test]
async fn a_chat_without_a_branch_has_no_diff() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = stack.chat(&owner.caller).await;
        let none = refused(diff(stack, &owner.caller, &chat.id).await);
        assert_eq!(none, (Code::NotFound, "DIFF_NOT_FOUND".to_owned(), None));
    })
    .await;
}

#[tokio::test]
async fn for_a_stranger_there_is_no_such_chat_and_who_loses_the_right_while_waiting_gets_nothing() {
    asking(async |stack, owner, chat, worker| {
        let hidden = (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned(), None);
        let stranger = refused(diff(stack, &Caller::user(), &chat.id).await);
        assert_eq!(stranger, hidden);

        let reader = Caller::user();
        let subject = crate::stack::user(&reader);
        stack
            .share(&owner.caller, &chat.id, vec![subject.clone()])
            .await;
        let withdrawing = async {
            super::until_asked(stack).await;
            let request = v1::UpdateChatSharingRequest {
                chat_id: chat.id.clone(),
                remove: vec![subject],
                ..v1::UpdateChatSharingRequest::default()
            };
            let mut chats = stack.chats(&owner.caller);
            chats.update_chat_sharing(request).await.unwrap();
            answer(stack, &worker, super::of_pull_request(b"+1\n"), found()).await;
        };
        let (read, ()) = tokio::join!(diff(stack, &reader, &chat.id), withdrawing);
        assert_eq!(refused(read), hidden);
    })
    .await;
}

#[tokio::test]
async fn without_a_usable_credential_a_diff_is_refused_at_once_with_the_reason() {
    Stack::run(async |stack| {
        let unlinked = Owner::unlinked(stack);
        let chat = unlinked.chat("feat/x").await;
        let refusal = refused(diff(stack, &unlinked.caller, &chat.id).await);
        let not_linked = "GIT_ACCOUNT_NOT_LINKED".to_owned();
        assert_eq!(refusal, (Code::FailedPrecondition, not_linked, None));

        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let limited = v1::ReportOutcomesRequest {
            budget: Some(limited()),
            ..report(&lease.0.lease_token, vec![outcome(lease.git_ref(), none())])
        };
        worker.try_report(limited).await.unwrap();
        let status = diff(stack, &owner.caller, &chat.id).await.unwrap_err();
        let reason = "GIT_HOST_RATE_LIMITED".to_owned();
        assert_eq!(facts(&status), (Code::ResourceExhausted, reason, None));
        assert!(status.get_error_details().retry_info().is_some());
        let asked: i64 = value(stack, "SELECT count(*) FROM git_diffs").await;
        assert_eq!(asked, 0, "nothing is asked for");
    })
    .await;
}

#[tokio::test]
async fn without_a_worker_a_diff_is_unavailable_in_time() {
    asking(async |stack, owner, chat, _| {
        let limit = Duration::from_secs(2);
        let refusal = refused(diff_within(stack, &owner.caller, &chat.id, limit).await);
        let reason = "NO_WORKER_IN_TIME".to_owned();
        assert_eq!(refusal, (Code::Unavailable, reason, None));
    })
    .await;
}
