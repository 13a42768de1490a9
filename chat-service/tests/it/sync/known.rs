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
async fn answer_all(stack: &Stack, worker: &Worker, result: v1::outcome::Result) {
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
                   pull_request || '{"milestone": "1.0"}', '{head,checks}', '"passing"'
               )"#,
        )
        .await;
        let later = async || {
            let shown: Value = value(stack, "SELECT pull_request FROM git_refs").await;
            (shown["milestone"].clone(), shown["head"]["checks"].clone())
        };
        let events = "SELECT count(*) FROM change_events";
        let before: i64 = value(stack, events).await;

        answer_all(stack, &worker, found()).await;
        assert_eq!(later().await, (json!("1.0"), json!("passing")));
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
