//! Checks of the head, whether it can be merged, and who is asked for a review.

use jiff::Timestamp;
use proto::sync::{Finding, LeasedRef, Outcome};
use testkit::github::{GitHub, Mergeable, ReviewState, RunState};

use super::{Row, WEB, feature, linked, pull};

/// The sum of the checks, how many passed, failed, are pending and were skipped, the names of those
/// that failed, and what is known of merging and of reviews.
pub(super) fn summary(outcome: &Outcome) -> String {
    let Finding::PullRequest(found) = &outcome.finding else {
        return super::summary(outcome);
    };
    let (head, progress) = (&found.shown.head, &found.shown.progress);
    let mut words = Vec::new();
    match &head.checks {
        None => words.push("untold".to_owned()),
        Some(checks) => {
            let [passed, failed, pending, skipped] =
                [checks.passed, checks.failed, checks.pending, checks.skipped];
            words.push(format!(
                "{} {passed}/{failed}/{pending}/{skipped}",
                checks.state.name()
            ));
            words.extend(checks.failed_checks.iter().map(|check| check.name.clone()));
        }
    }
    let state = head.merge_state.map_or("untold", |state| state.name());
    words.push(state.to_owned());
    words.extend(
        progress
            .requested_reviewers
            .iter()
            .map(|name| format!("@{name}")),
    );
    if progress.requested_again {
        words.push("again".to_owned());
    }
    if progress.auto_merge == Some(true) {
        words.push("auto".to_owned());
    }
    words.join(", ")
}

fn at(time: &str) -> Timestamp {
    format!("2026-08-01T{time}Z").parse().unwrap()
}

fn ended(time: &str, conclusion: &'static str) -> RunState {
    RunState::Ended(at(time), conclusion)
}

/// An open pull request whose head has these runs of the workflow `CI`, in this order.
fn checked(github: &GitHub, runs: &[(&str, RunState)]) -> LeasedRef {
    let pull = pull(github).open();
    for (name, state) in runs {
        github.check_run(WEB, pull, (Some("CI"), name), *state);
    }
    feature()
}

fn with_statuses(github: &GitHub, statuses: &[(&str, &'static str)]) -> LeasedRef {
    let pull = pull(github).open();
    for (context, state) in statuses {
        github.commit_status(WEB, pull, context, state);
    }
    feature()
}

fn edited(github: &GitHub, change: impl FnOnce(&mut testkit::github::PullRequest)) -> LeasedRef {
    let pull = pull(github).open();
    github.edit_pull_request(WEB, pull, change);
    feature()
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        (
            "no checks",
            |github| checked(github, &[]),
            "none 0/0/0/0, clean",
        ),
        (
            "all passed",
            |github| {
                let passed = ended("01:00:00", "SUCCESS");
                checked(github, &[("build", passed), ("test", passed)])
            },
            "passing 2/0/0/0, clean",
        ),
        (
            "one failed",
            |github| {
                checked(
                    github,
                    &[
                        ("build", ended("01:00:00", "SUCCESS")),
                        ("test", ended("01:00:00", "FAILURE")),
                    ],
                )
            },
            "failing 1/1/0/0, test, clean",
        ),
        (
            "one is under way",
            |github| {
                checked(
                    github,
                    &[
                        ("build", ended("01:00:00", "SUCCESS")),
                        ("test", RunState::Running(at("01:00:00"))),
                    ],
                )
            },
            "pending 1/0/1/0, clean",
        ),
        (
            "one is queued",
            |github| checked(github, &[("build", RunState::Queued)]),
            "pending 0/0/1/0, clean",
        ),
        (
            "failed, and pending",
            |github| {
                checked(
                    github,
                    &[
                        ("build", ended("01:00:00", "TIMED_OUT")),
                        ("test", RunState::Queued),
                    ],
                )
            },
            "failing 0/1/1/0, build, clean",
        ),
        (
            "cancelled, and passed since",
            |github| {
                checked(
                    github,
                    &[
                        ("check-pr-description", ended("08:54:00", "CANCELLED")),
                        ("check-pr-description", ended("09:02:00", "SUCCESS")),
                    ],
                )
            },
            "passing 1/0/0/0, clean",
        ),
        (
            "failed, and passed since",
            |github| {
                checked(
                    github,
                    &[
                        ("policy", ended("05:26:31", "FAILURE")),
                        ("policy", ended("05:28:16", "SUCCESS")),
                    ],
                )
            },
            "passing 1/0/0/0, clean",
        ),
        (
            "failed, and queued again",
            |github| {
                checked(
                    github,
                    &[
                        ("policy", ended("05:26:31", "FAILURE")),
                        ("policy", RunState::Queued),
                    ],
                )
            },
            "pending 0/0/1/0, clean",
        ),
        (
            "the latest was cancelled",
            |github| {
                checked(
                    github,
                    &[
                        ("policy", ended("05:26:31", "SUCCESS")),
                        ("policy", ended("05:28:16", "CANCELLED")),
                    ],
                )
            },
            "failing 0/1/0/0, policy, clean",
        ),
        (
            "skipped and neutral",
            |github| {
                checked(
                    github,
                    &[
                        ("docs", ended("01:00:00", "SKIPPED")),
                        ("lint", ended("01:00:00", "NEUTRAL")),
                    ],
                )
            },
            "passing 0/0/0/2, clean",
        ),
        (
            "stale",
            |github| checked(github, &[("old", ended("01:00:00", "STALE"))]),
            "pending 0/0/1/0, clean",
        ),
        (
            "in need of an action, and not started",
            |github| {
                checked(
                    github,
                    &[
                        ("deploy", ended("01:00:00", "ACTION_REQUIRED")),
                        ("ci", ended("01:00:00", "STARTUP_FAILURE")),
                    ],
                )
            },
            "failing 0/2/0/0, ci, deploy, clean",
        ),
        (
            "statuses",
            |github| with_statuses(github, &[("ci/a", "SUCCESS"), ("ci/b", "PENDING")]),
            "pending 1/0/1/0, clean",
        ),
        (
            "statuses that failed",
            |github| with_statuses(github, &[("ci/a", "FAILURE"), ("ci/b", "ERROR")]),
            "failing 0/2/0/0, ci/a, ci/b, clean",
        ),
        (
            "a status that was replaced",
            |github| with_statuses(github, &[("ci/a", "FAILURE"), ("ci/a", "SUCCESS")]),
            "passing 1/0/0/0, clean",
        ),
        (
            "a run and a status of one name",
            |github| {
                let pull = pull(github).open();
                github.check_run(WEB, pull, (None, "ci"), ended("01:00:00", "SUCCESS"));
                github.commit_status(WEB, pull, "ci", "FAILURE");
                feature()
            },
            "failing 1/1/0/0, ci, clean",
        ),
        (
            "of a head that has moved",
            |github| {
                let git_ref = checked(github, &[("build", ended("01:00:00", "FAILURE"))]);
                github.repository(WEB).push("feature");
                git_ref
            },
            "none 0/0/0/0, clean",
        ),
        (
            "of one that is merged",
            |github| {
                let pull = pull(github).open();
                github.check_run(WEB, pull, (None, "ci"), ended("01:00:00", "SUCCESS"));
                let linked = linked(github, feature(), WEB, pull);
                github.merge(WEB, pull);
                linked
            },
            "untold, untold",
        ),
        (
            "kept from this token",
            |github| {
                github.keep_checks_from("ann");
                checked(github, &[("build", ended("01:00:00", "FAILURE"))])
            },
            "untold, clean",
        ),
        (
            "conflicts",
            |github| edited(github, |pull| pull.mergeable = Mergeable::Conflicting),
            "none 0/0/0/0, conflicting",
        ),
        (
            "behind",
            |github| edited(github, |pull| pull.behind = true),
            "none 0/0/0/0, behind",
        ),
        (
            "blocked",
            |github| edited(github, |pull| pull.blocked = true),
            "none 0/0/0/0, blocked",
        ),
        (
            "draft",
            |github| edited(github, |pull| pull.draft = true),
            "none 0/0/0/0, blocked",
        ),
        (
            "a review is required",
            |github| {
                github.repository(WEB).require_reviews();
                pull(github).open();
                feature()
            },
            "none 0/0/0/0, blocked",
        ),
        (
            "not worked out yet",
            |github| {
                let pull = pull(github).open();
                github.forget_mergeability(WEB, pull, 100);
                feature()
            },
            "none 0/0/0/0, unknown",
        ),
        (
            "merges by itself",
            |github| edited(github, |pull| pull.auto_merge = true),
            "none 0/0/0/0, clean, auto",
        ),
        (
            "reviewers are asked",
            |github| {
                let pull = pull(github).open();
                github.bot("helper[bot]");
                github.request_review(WEB, pull, "zoe");
                github.request_review(WEB, pull, "helper[bot]");
                github.request_team_review(WEB, pull, "platform");
                feature()
            },
            "none 0/0/0/0, clean, @helper, @platform, @zoe",
        ),
        (
            "one who approved is asked again",
            |github| {
                let pull = pull(github).open();
                github.review(WEB, pull, "Bob", ReviewState::Approved);
                github.request_review(WEB, pull, "Bob");
                feature()
            },
            "none 0/0/0/0, clean, @Bob, again",
        ),
        (
            "one who asked for changes is asked again",
            |github| {
                let pull = pull(github).open();
                github.review(WEB, pull, "bob", ReviewState::ChangesRequested);
                github.request_review(WEB, pull, "bob");
                feature()
            },
            "none 0/0/0/0, clean, @bob",
        ),
    ]
}
