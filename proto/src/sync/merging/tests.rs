//! Every reason for which a pull request is not merged.

use super::*;
use crate::sync::{Checks, FailedCheck, Head};

/// A change after which a pull request is not ready.
type Change = fn(&mut PullRequest);

fn open() -> PullRequest {
    PullRequest {
        number: 7,
        url: "https://github.com/acme/web/pull/7".to_owned(),
        state: PullRequestState::Open,
        draft: false,
        title: "Title".to_owned(),
        base_branch: "main".to_owned(),
        author_login: None,
        author_avatar_url: None,
        changes_requested: false,
        approved: false,
        reviewer_count: 0,
        pushed_after_merge: None,
        progress: Progress::default(),
        head: Head {
            branch: "feature".to_owned(),
            sha: "abc".to_owned(),
            additions: 1,
            deletions: 2,
            changed_files: 3,
            commits: 4,
            checks: Some(checks(CheckState::Passing)),
            merge_state: Some(MergeState::Clean),
        },
    }
}

fn checks(state: CheckState) -> Checks {
    Checks {
        state,
        total: 1,
        passed: 0,
        failed: 0,
        pending: 0,
        skipped: 0,
        at_least: false,
        failed_checks: Vec::new(),
    }
}

fn failing(required: bool) -> Checks {
    Checks {
        failed: 1,
        failed_checks: vec![FailedCheck {
            name: "build".to_owned(),
            url: None,
            required,
        }],
        ..checks(CheckState::Failing)
    }
}

/// A row: what it is about, how it differs from one that is open and clean, and the reasons.
type Row = (&'static str, fn(&mut PullRequest), &'static [MergeBlocker]);

#[test]
fn exactly_the_reasons_that_block_a_merge_are_listed() {
    use MergeBlocker::{
        Behind, ChangesRequested, ChecksFailing, ChecksPending, Conflicts, Draft, InQueue,
        ReviewRequired, Rules,
    };
    let rows: &[Row] = &[
        ("clean", |_| {}, &[]),
        ("draft", |pull| pull.draft = true, &[Draft]),
        (
            "conflicts",
            |pull| pull.head.merge_state = Some(MergeState::Conflicting),
            &[Conflicts],
        ),
        (
            "behind",
            |pull| pull.head.merge_state = Some(MergeState::Behind),
            &[Behind],
        ),
        (
            "blocked by checks that have not ended",
            |pull| {
                pull.head.merge_state = Some(MergeState::Blocked);
                pull.head.checks = Some(checks(CheckState::Pending));
            },
            &[ChecksPending],
        ),
        (
            "blocked by checks that failed",
            |pull| {
                pull.head.merge_state = Some(MergeState::Blocked);
                pull.head.checks = Some(failing(false));
            },
            &[ChecksFailing],
        ),
        (
            "a required check failed, and the host is still at work",
            |pull| {
                pull.head.merge_state = Some(MergeState::Unknown);
                pull.head.checks = Some(failing(true));
            },
            &[ChecksFailing],
        ),
        (
            "a check that no rule requires failed",
            |pull| pull.head.checks = Some(failing(false)),
            &[],
        ),
        (
            "a review is required",
            |pull| {
                pull.head.merge_state = Some(MergeState::Blocked);
                pull.progress.review_decision = Some(ReviewDecision::ReviewRequired);
            },
            &[ReviewRequired],
        ),
        (
            "changes are requested",
            |pull| {
                pull.head.merge_state = Some(MergeState::Blocked);
                pull.progress.review_decision = Some(ReviewDecision::ChangesRequested);
            },
            &[ChangesRequested],
        ),
        (
            "changes are requested, and the host does not tell its decision",
            |pull| {
                pull.head.merge_state = Some(MergeState::Blocked);
                pull.changes_requested = true;
            },
            &[ChangesRequested],
        ),
        (
            "changes are requested by one who does not count",
            |pull| {
                pull.changes_requested = true;
                pull.progress.review_decision = Some(ReviewDecision::Approved);
            },
            &[],
        ),
        (
            "in the queue",
            |pull| pull.progress.queue_position = Some(3),
            &[InQueue],
        ),
        (
            "not in the queue",
            |pull| pull.progress.queue_position = Some(0),
            &[],
        ),
        (
            "blocked by something else",
            |pull| pull.head.merge_state = Some(MergeState::Blocked),
            &[Rules],
        ),
        (
            "unknown",
            |pull| pull.head.merge_state = Some(MergeState::Unknown),
            &[],
        ),
        ("unknown", |pull| pull.head.merge_state = None, &[]),
        (
            "closed with conflicts",
            |pull| {
                pull.state = PullRequestState::Closed;
                pull.head.merge_state = Some(MergeState::Conflicting);
            },
            &[],
        ),
        (
            "all at once",
            |pull| {
                pull.draft = true;
                pull.head.merge_state = Some(MergeState::Conflicting);
                pull.head.checks = Some(failing(true));
                pull.progress.review_decision = Some(ReviewDecision::ReviewRequired);
            },
            &[Draft, Conflicts, ChecksFailing, ReviewRequired],
        ),
    ];
    for (name, change, expected) in rows {
        let mut pull = open();
        change(&mut pull);
        assert_eq!(pull.merge_blockers(), *expected, "{name}");
    }
    let listed: Vec<MergeBlocker> = rows.iter().flat_map(|row| row.2).copied().collect();
    for blocker in MergeBlocker::ALL {
        assert!(listed.contains(blocker), "{blocker:?} has no row");
    }
}

#[test]
fn ready_is_what_a_person_could_merge_now_and_nothing_that_is_not_known() {
    assert!(open().is_ready_to_merge());
    let changes: [(&str, Change); 9] = [
        ("unknown", |pull| {
            pull.head.merge_state = Some(MergeState::Unknown);
        }),
        ("unknown", |pull| pull.head.merge_state = None),
        ("a review is required", |pull| {
            pull.progress.review_decision = Some(ReviewDecision::ReviewRequired);
        }),
        ("changes are requested", |pull| {
            pull.changes_requested = true;
        }),
        ("checks have not ended", |pull| {
            pull.head.checks = Some(checks(CheckState::Pending));
        }),
        ("a check failed", |pull| {
            pull.head.checks = Some(failing(false));
        }),
        ("checks are not known", |pull| pull.head.checks = None),
        ("a draft", |pull| pull.draft = true),
        ("merged", |pull| pull.state = PullRequestState::Merged),
    ];
    for (name, change) in changes {
        let mut pull = open();
        change(&mut pull);
        assert!(!pull.is_ready_to_merge(), "{name}");
    }
}
