//! What the schema derives from the facts of a pull request.

use std::collections::BTreeSet;

use proto::sync::{CheckState, Checks, MergeState, PullRequest, PullRequestState, ReviewDecision};
use serde_json::json;

use crate::{stack::Stack, worker::Owner};

/// Everything that what is needed depends on.
fn every_pull_request() -> Vec<PullRequest> {
    fn and_none<T: Copy>(all: &[T]) -> Vec<Option<T>> {
        all.iter().copied().map(Some).chain([None]).collect()
    }
    let base: PullRequest = serde_json::from_value(json!({
        "number": 7, "url": "", "state": "open", "draft": false, "title": "", "base_branch": "",
        "changes_requested": false, "approved": false, "reviewer_count": 0, "head": {
            "branch": "", "sha": "", "additions": 0, "deletions": 0, "changed_files": 0, "commits": 0,
        },
    }))
    .unwrap();
    let mut all = Vec::new();
    for state in PullRequestState::ALL {
        for merge_state in and_none(MergeState::ALL) {
            for check_state in and_none(CheckState::ALL) {
                for review_decision in and_none(ReviewDecision::ALL) {
                    for bits in 0..16 {
                        let is = |bit: u32| bits & bit != 0;
                        let mut one = base.clone();
                        one.state = *state;
                        one.draft = is(1);
                        one.changes_requested = is(2);
                        one.progress.review_decision = review_decision;
                        one.progress.queue_position = is(4).then_some(u32::from(is(8)));
                        one.head.merge_state = merge_state;
                        one.head.checks = check_state.map(|state| Checks {
                            state,
                            total: 0,
                            passed: 0,
                            failed: 0,
                            pending: 0,
                            skipped: 0,
                            at_least: false,
                            failed_checks: Vec::new(),
                        });
                        all.push(one);
                    }
                }
            }
        }
    }
    all
}

/// The sum by what the service says of the same pull request elsewhere.
fn expected(pull: &PullRequest) -> i16 {
    if pull.state != PullRequestState::Open {
        return 0;
    }
    let checks = pull.head.checks.as_ref().map(|checks| checks.state);
    let decision = pull.progress.review_decision;
    let asked = pull.changes_requested || decision == Some(ReviewDecision::ChangesRequested);
    i16::from(pull.head.merge_state == Some(MergeState::Conflicting))
        + 2 * i16::from(asked)
        + 4 * i16::from(checks == Some(CheckState::Failing))
        + 8 * i16::from(pull.is_ready_to_merge())
}

#[tokio::test]
async fn what_the_schema_says_is_needed_is_what_is_shown_of_every_pull_request() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let all = every_pull_request();
        let values = serde_json::to_value(&all).unwrap();
        let client = stack.database.client().await;
        let rows = client
            .query(
                "INSERT INTO git_refs (id, chat_id, account_id, provider_id, git_remote_origin,
                     repository, git_branch, pull_request, pr_repository)
                 SELECT gen_random_uuid(), r.chat_id, r.account_id, r.provider_id,
                     r.git_remote_origin, r.repository, p.number::text, p.shown, r.repository
                 FROM git_refs r
                 CROSS JOIN jsonb_array_elements($1::jsonb)
                     WITH ORDINALITY AS p (shown, number)
                 RETURNING git_branch::integer - 1 AS place, attention",
                &[&values],
            )
            .await
            .unwrap();
        let mut sums = BTreeSet::new();
        for row in &rows {
            let place: i32 = row.try_get("place").unwrap();
            let pull = &all[usize::try_from(place).unwrap()];
            let sum: i16 = row.try_get("attention").unwrap();
            assert_eq!(sum, expected(pull), "{pull:?}");
            sums.insert(sum);
        }
        assert_eq!(rows.len(), all.len());
        // Whatever is looked for in lists, and nothing else.
        assert_eq!(sums, (0..=8).collect());
    })
    .await;
}
