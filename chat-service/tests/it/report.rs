//! Outcomes: which columns they write and keep, and when a ref is due again.

mod branch;
mod learned;
mod put_off;
mod refusal;
mod renamed;
mod spread;

use proto::chat::v1::{self, OutcomeResultStatus, ProblemClass, PullRequestState};

use crate::{
    stack::Stack,
    worker::{
        Owner, Worker, events, failed, found, found_in, gone, limited, make_all_due, none, outcome,
        pull_request, report, report_earlier, run, value,
    },
};

/// A number of the one ref there is.
async fn number(stack: &Stack, column: &str) -> i64 {
    value(
        stack,
        &format!("SELECT {column}::bigint FROM git_ref_polls"),
    )
    .await
}

#[tokio::test]
async fn a_found_pull_request_is_stored_with_everything_it_says() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let before = events(stack, &chat.id).await;
        assert_eq!(
            Worker::of(stack).answer(found()).await,
            OutcomeResultStatus::Applied
        );
        let status = owner.status(&chat.id).await;
        let expected = pull_request();
        assert_eq!(status.url.as_ref(), Some(&expected.url));
        assert_eq!(status.pull_request_state(), PullRequestState::Open);
        assert_eq!(status.pull_request_title, expected.title);
        assert_eq!(status.pr_number, Some(7));
        assert_eq!(
            (status.additions, status.deletions, status.changed_files),
            (10, 3, 2)
        );
        assert_eq!((status.commits, status.approved), (Some(4), Some(true)));
        assert_eq!(status.reviewer_count, Some(2));
        assert_eq!(status.head_branch.as_deref(), Some("feat/x"));
        assert_eq!(status.base_branch.as_deref(), Some("main"));
        assert_eq!(status.head_sha, Some(expected.head_sha));
        assert_eq!(status.author_login.as_deref(), Some("ann"));
        assert_eq!(status.author_avatar_url, expected.author_avatar_url);
        assert!(status.refreshed_at.is_some());
        assert!(status.next_refresh_at.is_some());
        assert_eq!(status.problem, None);
        assert_eq!(status.freshness(), v1::Freshness::Fresh);
        assert_eq!(events(stack, &chat.id).await, before + 1);
    })
    .await;
}

#[tokio::test]
async fn looking_again_without_a_change_records_no_event() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        let (first, events_before) = (owner.status(&chat.id).await, events(stack, &chat.id).await);
        make_all_due(stack).await;
        worker.answer(found()).await;
        let second = owner.status(&chat.id).await;
        assert_ne!(second.refreshed_at, first.refreshed_at);
        assert_eq!(events(stack, &chat.id).await, events_before);
        make_all_due(stack).await;
        let retitled = v1::PullRequest {
            title: "Another".to_owned(),
            ..pull_request()
        };
        worker.answer(v1::outcome::Result::Found(retitled)).await;
        assert_eq!(events(stack, &chat.id).await, events_before + 1);
    })
    .await;
}

/// Promise 9.
#[tokio::test]
async fn a_failure_never_changes_the_last_known_status() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        let known = owner.status(&chat.id).await;
        let mut since = None;
        for class in [
            ProblemClass::AccessDenied,
            ProblemClass::SsoRequired,
            ProblemClass::RepositoryNotFound,
            ProblemClass::PullRequestGone,
            ProblemClass::HostUnavailable,
            ProblemClass::HostAnswerInvalid,
            ProblemClass::ProviderUnsupported,
            ProblemClass::Internal,
        ] {
            make_all_due(stack).await;
            let before = events(stack, &chat.id).await;
            assert_eq!(
                worker.answer(failed(class)).await,
                OutcomeResultStatus::Applied
            );
            let mut status = owner.status(&chat.id).await;
            let problem = status.problem.take().unwrap();
            assert_eq!(problem.class(), class);
            assert!(!problem.message.is_empty());
            assert_ne!(
                problem.since, since,
                "another problem begins at its own time"
            );
            since = problem.since;
            assert_eq!(
                events(stack, &chat.id).await,
                before + 1,
                "{class:?} is seen"
            );
            let v1::ChatDiffStatus {
                freshness,
                next_refresh_at,
                ..
            } = known.clone();
            status.freshness = freshness;
            status.next_refresh_at = next_refresh_at;
            assert_eq!(status, known, "{class:?}");
        }
        make_all_due(stack).await;
        worker.answer(failed(ProblemClass::Internal)).await;
        assert_eq!(
            owner.status(&chat.id).await.problem.unwrap().since,
            since,
            "the same problem"
        );
        make_all_due(stack).await;
        worker.answer(found()).await;
        assert_eq!(owner.status(&chat.id).await.problem, None);
    })
    .await;
}

#[tokio::test]
async fn no_pull_request_forgets_it_and_gone_keeps_it() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        make_all_due(stack).await;
        worker.answer(gone()).await;
        let status = owner.status(&chat.id).await;
        assert_eq!(status.pr_number, Some(7));
        assert_eq!(
            status.problem.unwrap().class(),
            ProblemClass::PullRequestGone
        );
        make_all_due(stack).await;
        worker.answer(none()).await;
        let status = owner.status(&chat.id).await;
        assert_eq!(status.pull_request_state, None);
        assert_eq!(status.url, None);
        assert_eq!(status.pull_request_title, "");
        assert_eq!(
            (status.additions, status.approved, status.head_branch),
            (0, None, None)
        );
        assert_eq!(status.problem, None);
        assert!(status.refreshed_at.is_some());
    })
    .await;
}

#[tokio::test]
async fn refreshes_in_a_row_are_counted() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        // (outcome, failures, misses, settled) after it
        for (index, (result, failures, misses, settled)) in [
            (none(), 0, 1, 0),
            (none(), 0, 2, 0),
            (failed(ProblemClass::HostUnavailable), 1, 2, 0),
            (failed(ProblemClass::HostUnavailable), 2, 2, 0),
            (found(), 0, 0, 0),
            (found_in(PullRequestState::Closed), 0, 0, 1),
            (found_in(PullRequestState::Closed), 0, 0, 2),
            (found_in(PullRequestState::Open), 0, 0, 0),
            (found_in(PullRequestState::Merged), 0, 0, 1),
            (found_in(PullRequestState::Merged), 0, 0, 2),
            (gone(), 0, 1, 2),
        ]
        .into_iter()
        .enumerate()
        {
            worker.answer(result).await;
            make_all_due(stack).await;
            let counted = (
                number(stack, "failures").await,
                number(stack, "misses").await,
                number(stack, "settled_count").await,
            );
            assert_eq!(
                counted,
                (failures, misses, settled),
                "after outcome {index}"
            );
        }
        report_earlier(stack).await;
        owner.report(&chat.id, "feat/x").await;
        let lease = worker.lease_one().await;
        let git_ref = lease.git_ref();
        assert_eq!(
            (git_ref.misses, git_ref.settled_count),
            (0, 0),
            "since the last report"
        );
        let known = git_ref.known.clone().unwrap();
        assert_eq!((known.repository.as_str(), known.number), ("acme/web", 7));
        assert_eq!(known.state(), PullRequestState::Merged);
        assert_eq!(known.host_id.as_deref(), Some("PR_7"));
    })
    .await;
}

#[tokio::test]
async fn a_ref_without_a_planned_time_is_not_due_until_an_event() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let mut settled = outcome(lease.git_ref(), found_in(PullRequestState::Merged));
        settled.next_refresh_in = None;
        worker.finish(&lease, vec![settled]).await;
        assert_eq!(owner.status(&chat.id).await.next_refresh_at, None);
        make_all_due(stack).await;
        assert!(worker.lease().await.is_empty());
        owner.report(&chat.id, "feat/x").await;
        assert_eq!(worker.lease().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn only_the_primary_and_refs_with_an_open_pull_request_stay_due() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/open").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        owner.report(&chat.id, "feat/none").await;
        worker.answer(none()).await;
        owner.report(&chat.id, "feat/last").await;
        make_all_due(stack).await;
        let lease = worker.lease_one().await;
        assert_eq!(lease.branches(), ["feat/last", "feat/open"]);
        let outcomes = lease
            .refs()
            .into_iter()
            .map(|git_ref| outcome(git_ref, found_in(PullRequestState::Merged)))
            .collect();
        worker.finish(&lease, outcomes).await;
        make_all_due(stack).await;
        let lease = worker.lease_one().await;
        assert_eq!(lease.git_ref().branch, "feat/last");
    })
    .await;
}

#[tokio::test]
async fn an_outcome_for_an_archived_chat_plans_nothing() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let archive = v1::UpdateChatRequest {
            chat_id: chat.id.clone(),
            archived: Some(true),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["archived".to_owned()],
            }),
            ..v1::UpdateChatRequest::default()
        };
        stack
            .chats(&owner.caller)
            .update_chat(archive.clone())
            .await
            .unwrap();
        worker
            .finish(&lease, vec![outcome(lease.git_ref(), found())])
            .await;
        let status = owner.status(&chat.id).await;
        assert_eq!((status.pr_number, status.next_refresh_at), (Some(7), None));
        let unarchive = v1::UpdateChatRequest {
            archived: Some(false),
            ..archive
        };
        stack
            .chats(&owner.caller)
            .update_chat(unarchive)
            .await
            .unwrap();
        assert_eq!(worker.lease().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_ref_that_was_not_looked_up_since_its_report_stays_due_whatever_is_the_primary() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/first").await;
        owner.report(&chat.id, "feat/second").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        assert_eq!(lease.branches(), ["feat/first", "feat/second"]);
        let outcomes = lease.refs().into_iter().map(|of| outcome(of, none()));
        worker.finish(&lease, outcomes.collect()).await;
        make_all_due(stack).await;
        assert_eq!(worker.lease_one().await.branches(), ["feat/second"]);
    })
    .await;
}

#[tokio::test]
async fn a_rate_limit_tells_until_when() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let mut paused = report(&lease.0.lease_token, Vec::new());
        paused.budget = Some(limited());
        worker.try_report(paused).await.unwrap();
        let problem = owner.status(&chat.id).await.problem.unwrap();
        assert!(
            problem.message.starts_with("rate limited until "),
            "{}",
            problem.message
        );
    })
    .await;
}

/// A later release may know more of a pull request.
#[tokio::test]
async fn what_a_later_release_wrote_of_a_pull_request_stays_until_its_head_moves() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        run(
            stack,
            r#"UPDATE git_refs SET pull_request = pull_request || jsonb_build_object(
                'milestone', 'm1', 'head', pull_request -> 'head' || '{"checks": "passing"}'
             )"#,
        )
        .await;
        let before = events(stack, &chat.id).await;
        let later = async |path: &str| {
            value::<Option<String>>(
                stack,
                &format!("SELECT pull_request #>> '{path}' FROM git_refs"),
            )
            .await
        };
        make_all_due(stack).await;
        worker.answer(found()).await;
        assert_eq!(later("{milestone}").await.as_deref(), Some("m1"));
        assert_eq!(later("{head,checks}").await.as_deref(), Some("passing"));
        assert_eq!(events(stack, &chat.id).await, before, "nothing changed");
        make_all_due(stack).await;
        let moved = v1::PullRequest {
            head_sha: "f".repeat(40),
            ..pull_request()
        };
        worker.answer(v1::outcome::Result::Found(moved)).await;
        assert_eq!(later("{milestone}").await.as_deref(), Some("m1"));
        assert_eq!(later("{head,checks}").await, None);
        assert_eq!(events(stack, &chat.id).await, before + 1);
    })
    .await;
}
