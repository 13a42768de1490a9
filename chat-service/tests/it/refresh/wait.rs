//! What a refresh waits for, and what ends it early.

use std::collections::BTreeMap;

use chat_service::config::Settings;
use proto::chat::v1::{self, ProblemClass, PullRequestState};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{answer_when_due, known, lane, refresh};
use crate::{
    stack::{Caller, Stack, facts},
    worker::{
        Leased, Owner, Worker, failed, found, found_in, git_ref, limited, make_all_due, none,
        report, report_earlier, settle_all,
    },
};

/// Two providers, `host-0` and `host-1`.
async fn on_two_hosts<T>(body: impl AsyncFnOnce(&Stack) -> T) -> T {
    let hosts = |_: &mut Settings, vars: &mut BTreeMap<String, String>| {
        for number in 0..2 {
            let mut set = |name: &str, value: String| {
                vars.insert(format!("GIT_PROVIDER_{number}_{name}"), value);
            };
            set("TYPE", "github".to_owned());
            set("ID", format!("host-{number}"));
            set("HOST", format!("git{number}.example"));
        }
    };
    Stack::run_with(hosts, body).await
}

/// A chat with an open pull request at `host-1`, and then a branch at `host-0`.
async fn chat_at_two_hosts(owner: &Owner<'_>, worker: &Worker) -> v1::Chat {
    let chat = owner.stack.chat(&owner.caller).await;
    for provider in ["host-0", "host-1"] {
        owner.link_at(provider, "ghp_hush").await;
    }
    for (host, result) in [("git1", found()), ("git0", none())] {
        let origin = format!("https://{host}.example/acme/web");
        owner
            .try_report(git_ref(&chat.id, &origin, "feat/x"))
            .await
            .unwrap();
        worker.answer(result).await;
    }
    chat
}

async fn pause(stack: &Stack, provider: &str) {
    let rows = stack
        .database
        .client()
        .await
        .execute(
            "UPDATE git_budgets SET paused_until = now() + interval '600 s',
                pause_class = 'rate_limited', pause_lane = 1
             WHERE provider_id = $1",
            &[&provider],
        )
        .await
        .unwrap();
    assert_eq!(rows, 1);
    settle_all(stack).await;
}

/// Looks the one ref up, and fails to do so the next time.
async fn fail_after_a_lookup(stack: &Stack, worker: &Worker) {
    worker.answer(none()).await;
    make_all_due(stack).await;
    worker.answer(failed(ProblemClass::AccessDenied)).await;
}

fn assert_rate_limited(status: &Status) {
    assert_eq!(
        facts(status),
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
    assert!((580..=600).contains(&retry.as_secs()), "{retry:?}");
}

async fn until_a_call_waits(stack: &Stack) {
    testkit::wait::until("a call waits", || async {
        let lane = lane(stack).await;
        if lane == 1 { Ok(()) } else { Err(lane) }
    })
    .await;
}

#[tokio::test]
async fn a_refresh_waits_for_the_branch_that_the_chat_moved_on_to() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/old").await;
        let worker = Worker::of(stack);
        // A problem of the old branch is not reported for the new one.
        fail_after_a_lookup(stack, &worker).await;
        let moving_on = async {
            until_a_call_waits(stack).await;
            owner.report(&chat.id, "feat/new").await;
            testkit::wait::until("a call waits for the new branch", || async {
                let lease = Leased(worker.wait_for_lease().await.remove(0));
                let git_ref = lease.git_ref();
                assert_eq!(git_ref.branch, "feat/new");
                if git_ref.lane() != v1::Lane::Interactive {
                    worker.release(&lease.0.lease_token).await;
                    return Err(());
                }
                let outcome = crate::worker::outcome(git_ref, found());
                worker.finish(&lease, vec![outcome]).await;
                Ok(())
            })
            .await;
        };
        let (chat, ()) = tokio::join!(refresh(stack, &owner.caller, &chat.id), moving_on);
        let status = chat.unwrap().diff_status.unwrap();
        assert_eq!(
            (status.git_branch.as_str(), status.pr_number),
            ("feat/new", Some(7))
        );
    })
    .await;
}

#[tokio::test]
async fn a_ref_that_is_not_polled_any_more_fails_no_refresh() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/old").await;
        let worker = Worker::of(stack);
        fail_after_a_lookup(stack, &worker).await;
        report_earlier(stack).await;
        owner.report(&chat.id, "feat/new").await;
        let (chat, _) = tokio::join!(
            refresh(stack, &owner.caller, &chat.id),
            answer_when_due(&worker, found()),
        );
        assert_eq!(chat.unwrap().diff_status.unwrap().pr_number, Some(7));
    })
    .await;
}

#[tokio::test]
async fn an_archived_chat_is_refreshed_once_and_not_polled_again() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        let request = v1::UpdateChatRequest {
            chat_id: chat.id.clone(),
            archived: Some(true),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["archived".to_owned()],
            }),
            ..v1::UpdateChatRequest::default()
        };
        stack
            .chats(&owner.caller)
            .update_chat(request)
            .await
            .unwrap();
        for result in [found_in(PullRequestState::Merged), found()] {
            let (chat, lane) = tokio::join!(
                refresh(stack, &owner.caller, &chat.id),
                answer_when_due(&worker, result.clone()),
            );
            let status = chat.unwrap().diff_status.unwrap();
            let v1::outcome::Result::Found(found) = result else {
                unreachable!("both are found")
            };
            assert_eq!(status.pull_request_state, Some(found.state));
            assert_eq!(lane, v1::Lane::Interactive);
            assert_eq!(status.next_refresh_at, None);
        }
        make_all_due(stack).await;
        assert!(worker.lease().await.is_empty(), "it is archived");
    })
    .await;
}

#[tokio::test]
async fn a_pause_that_begins_during_a_refresh_ends_it() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let pausing = async {
            until_a_call_waits(stack).await;
            let lease = worker.lease_one().await;
            let mut paused = report(&lease.0.lease_token, Vec::new());
            paused.budget = Some(limited());
            worker.try_report(paused).await.unwrap();
        };
        let (refused, ()) = tokio::join!(refresh(stack, &owner.caller, &chat.id), pausing);
        let status = refused.unwrap_err();
        assert_rate_limited(&status);
        assert_eq!(known(&status).id, chat.id);
    })
    .await;
}

#[tokio::test]
async fn a_pause_of_another_budget_ends_no_refresh_before_the_primary_is_looked_up() {
    on_two_hosts(async |stack| {
        let owner = Owner {
            stack,
            caller: Caller::user(),
        };
        let worker = Worker::of(stack);
        let chat = chat_at_two_hosts(&owner, &worker).await;
        pause(stack, "host-1").await;
        let (refused, lane) = tokio::join!(
            refresh(stack, &owner.caller, &chat.id),
            answer_when_due(&worker, found()),
        );
        assert_eq!(lane, v1::Lane::Interactive);
        let status = refused.unwrap_err();
        assert_rate_limited(&status);
        let known = known(&status).diff_status.unwrap();
        assert_eq!(known.git_remote_origin, "https://git0.example/acme/web");
        assert_eq!(known.pr_number, Some(7), "the primary was looked up");

        // The primary ref's failure takes precedence over another ref's pause.
        let (refused, _) = tokio::join!(
            refresh(stack, &owner.caller, &chat.id),
            answer_when_due(&worker, failed(ProblemClass::AccessDenied)),
        );
        assert_eq!(
            facts(&refused.unwrap_err()),
            (
                Code::FailedPrecondition,
                "GIT_ACCESS_DENIED".to_owned(),
                None
            )
        );
        pause(stack, "host-0").await;
        assert_rate_limited(&refresh(stack, &owner.caller, &chat.id).await.unwrap_err());
        assert!(worker.lease().await.is_empty(), "no pause was lifted");
    })
    .await;
}
