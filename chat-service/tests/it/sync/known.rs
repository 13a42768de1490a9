//! What is kept of a pull request: one value, written as what was known and then what was found.

use proto::chat::v1;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    stack::Stack,
    worker::{
        Owner, Worker, found, found_in, make_all_due, none, outcome, pull_request, report,
        unchanged, value,
    },
};

/// Leases what is due and reports the same of all of it.
pub(super) async fn answer_all(stack: &Stack, worker: &Worker, result: v1::outcome::Result) {
    make_all_due(stack).await;
    for lease in worker.lease().await.into_iter().map(crate::worker::Leased) {
        let outcomes = lease
            .refs()
            .into_iter()
            .map(|git_ref| outcome(git_ref, result.clone()))
            .collect();
        let report = report(&lease.0.lease_token, outcomes);
        worker.try_report(report).await.unwrap();
    }
}

async fn run(stack: &Stack, sql: &str) {
    stack
        .database
        .client()
        .await
        .batch_execute(sql)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_a_later_release_knows_stays_and_what_belongs_to_a_head_goes_with_it() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        answer_all(stack, &worker, found()).await;
        run(
            stack,
            r#"UPDATE git_refs SET pull_request = jsonb_set(
                   pull_request || '{"milestone": "1.0"}', '{head,signed}', '"by ann"'
               )"#,
        )
        .await;
        let later = async || {
            let shown: Value = value(stack, "SELECT pull_request FROM git_refs").await;
            (shown["milestone"].clone(), shown["head"]["signed"].clone())
        };
        let events = "SELECT count(*) FROM change_events";
        let before: i64 = value(stack, events).await;

        answer_all(stack, &worker, found()).await;
        assert_eq!(later().await, (json!("1.0"), json!("by ann")));
        assert_eq!(value::<i64>(stack, events).await, before, "nothing differs");

        let moved = v1::PullRequest {
            head_sha: "f".repeat(40),
            ..pull_request()
        };
        answer_all(stack, &worker, v1::outcome::Result::Found(moved)).await;
        assert_eq!(later().await, (json!("1.0"), Value::Null));
        assert_eq!(owner.status(&chat.id).await.head_sha, Some("f".repeat(40)));

        let another = v1::PullRequest {
            number: 8,
            host_id: Some("PR_8".to_owned()),
            ..pull_request()
        };
        answer_all(stack, &worker, v1::outcome::Result::Found(another)).await;
        assert_eq!(later().await, (Value::Null, Value::Null));
    })
    .await;
}

/// A failing check, as a host that tells everything has it.
fn failing() -> v1::PullRequest {
    v1::PullRequest {
        checks: Some(v1::Checks {
            state: v1::CheckState::Failing.into(),
            total: 2,
            passed: 1,
            failed: 1,
            failed_checks: vec![v1::FailedCheck {
                name: "CI / build".to_owned(),
                url: Some("https://ci.example/1".to_owned()),
                required: true,
            }],
            ..v1::Checks::default()
        }),
        merge_state: v1::MergeState::Blocked.into(),
        review_decision: v1::ReviewDecision::Approved.into(),
        requested_reviewers: vec!["bob".to_owned()],
        unresolved_threads: Some(3),
        unresolved_bot_threads: Some(2),
        auto_merge: Some(true),
        queue_position: Some(0),
        ..pull_request()
    }
}

#[tokio::test]
async fn checks_are_shown_of_the_head_alone_and_what_a_host_does_not_tell_stays() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let result = |pull: v1::PullRequest| v1::outcome::Result::Found(pull);
        answer_all(stack, &worker, result(failing())).await;
        let shown = owner.status(&chat.id).await;
        assert_eq!(shown.checks, failing().checks);
        let mergeability = shown.mergeability.clone().unwrap();
        assert_eq!(mergeability.mergeable(), v1::Mergeable::Mergeable);
        assert_eq!(
            mergeability.blockers,
            [v1::MergeBlocker::ChecksFailing as i32]
        );
        assert!(mergeability.auto_merge && !mergeability.ready_to_merge);
        assert_eq!(mergeability.queue_position, None);
        let progress = shown.review_progress.clone().unwrap();
        assert_eq!(progress.decision(), v1::ReviewDecision::Approved);
        assert_eq!(progress.requested_reviewers, ["bob"]);
        assert_eq!(progress.unresolved_threads, Some(3));
        assert_eq!(progress.unresolved_bot_threads, Some(2));

        // Another interface of the host tells less: nothing is forgotten, and nothing is news.
        let events = "SELECT count(*) FROM change_events";
        let before: i64 = value(stack, events).await;
        let less = v1::PullRequest {
            requested_reviewers: vec!["bob".to_owned()],
            ..pull_request()
        };
        answer_all(stack, &worker, result(less)).await;
        let again = owner.status(&chat.id).await;
        assert_eq!(again.checks, shown.checks);
        assert_eq!(again.mergeability, shown.mergeability);
        assert_eq!(again.review_progress, shown.review_progress);
        assert_eq!(value::<i64>(stack, events).await, before, "nothing differs");

        // A check that ends is news, though nothing else of the pull request moves.
        let passing = v1::PullRequest {
            checks: Some(v1::Checks {
                state: v1::CheckState::Passing.into(),
                total: 2,
                passed: 2,
                ..v1::Checks::default()
            }),
            merge_state: v1::MergeState::Clean.into(),
            ..failing()
        };
        answer_all(stack, &worker, result(passing)).await;
        let passed = owner.status(&chat.id).await;
        assert_eq!(passed.checks.unwrap().state(), v1::CheckState::Passing);
        assert!(passed.mergeability.unwrap().ready_to_merge);
        assert_eq!(value::<i64>(stack, events).await, before + 1);

        // What is known of a head goes with it.
        let pushed = v1::PullRequest {
            head_sha: "f".repeat(40),
            ..pull_request()
        };
        answer_all(stack, &worker, result(pushed)).await;
        let pushed = owner.status(&chat.id).await;
        assert_eq!(
            (pushed.checks, pushed.mergeability.unwrap().mergeable()),
            (None, v1::Mergeable::Unspecified)
        );
    })
    .await;
}

/// A conflict of a settled pull request concerns no reader any more.
#[tokio::test]
async fn a_settled_pull_request_shows_no_mergeability() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        for (state, shows) in [
            (v1::PullRequestState::Open, true),
            (v1::PullRequestState::Closed, false),
            (v1::PullRequestState::Merged, false),
        ] {
            let conflicting = v1::PullRequest {
                state: state.into(),
                merge_state: v1::MergeState::Conflicting.into(),
                ..pull_request()
            };
            answer_all(stack, &worker, v1::outcome::Result::Found(conflicting)).await;
            let shown = owner.status(&chat.id).await.mergeability;
            assert_eq!(shown.is_some(), shows, "{state:?}");
            if let Some(shown) = shown {
                assert_eq!(shown.mergeable(), v1::Mergeable::Conflicting);
                assert_eq!(shown.blockers, [v1::MergeBlocker::Conflicts as i32]);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_lease_says_what_is_still_to_come_of_a_pull_request() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let pending = v1::PullRequest {
            checks: Some(v1::Checks {
                state: v1::CheckState::Pending.into(),
                total: 1,
                pending: 1,
                ..v1::Checks::default()
            }),
            merge_state: v1::MergeState::Unknown.into(),
            ..pull_request()
        };
        for (found, expected) in [(failing(), (false, false)), (pending, (true, true))] {
            answer_all(stack, &worker, v1::outcome::Result::Found(found)).await;
            make_all_due(stack).await;
            let lease = crate::worker::Leased(worker.lease().await.remove(0));
            let known = lease.refs()[0].known.clone().unwrap();
            assert_eq!((known.checks_pending, known.merge_unknown), expected);
            worker.release(&lease.0.lease_token).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_outcome_without_news_writes_the_narrow_row_alone() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        answer_all(stack, &worker, found()).await;
        let versions = async || {
            let of = async |table: &str| -> String {
                value(stack, &format!("SELECT xmin::text FROM {table}")).await
            };
            (
                of("git_refs").await,
                of("chats").await,
                of("git_ref_polls").await,
            )
        };
        let before = versions().await;
        answer_all(stack, &worker, unchanged()).await;
        let after = versions().await;
        assert_eq!((&before.0, &before.1), (&after.0, &after.1));
        assert_ne!(before.2, after.2);
    })
    .await;
}

#[tokio::test]
async fn a_chat_says_what_lists_filter_by_of_its_primary_ref_alone() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let primary = async || -> (Option<i32>, Option<String>, Option<bool>) {
            (
                value(stack, "SELECT primary_pr_number FROM chats").await,
                value(stack, "SELECT primary_pr_state FROM chats").await,
                value(stack, "SELECT primary_pr_draft FROM chats").await,
            )
        };
        let open = (Some(7), Some("open".to_owned()), Some(false));
        answer_all(stack, &worker, found()).await;
        assert_eq!(primary().await, open);
        let draft = v1::PullRequest {
            draft: true,
            ..pull_request()
        };
        answer_all(stack, &worker, v1::outcome::Result::Found(draft)).await;
        assert_eq!(primary().await.2, Some(true));
        answer_all(stack, &worker, none()).await;
        assert_eq!(primary().await, (None, None, None));
        answer_all(stack, &worker, found()).await;
        assert_eq!(primary().await, open);

        // Another branch is the primary now; the former one is still polled, being open.
        owner.report(&chat.id, "feat/y").await;
        assert_eq!(primary().await, (None, None, None));
        let former: Uuid =
            value(stack, "SELECT id FROM git_refs WHERE git_branch = 'feat/x'").await;
        make_all_due(stack).await;
        let lease = crate::worker::Leased(worker.lease().await.remove(0));
        let outcomes = lease
            .refs()
            .into_iter()
            .filter(|git_ref| git_ref.git_ref_id == former.to_string())
            .map(|git_ref| outcome(git_ref, found_in(v1::PullRequestState::Merged)))
            .collect::<Vec<_>>();
        assert_eq!(outcomes.len(), 1);
        let report = report(&lease.0.lease_token, outcomes);
        worker.try_report(report).await.unwrap();
        assert_eq!(primary().await, (None, None, None));
    })
    .await;
}
