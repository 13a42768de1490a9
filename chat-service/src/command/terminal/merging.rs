//! How far an open pull request is from being merged, as a cell: one glyph for what is most urgent,
//! and why it is not merged.

use proto::chat::v1::{
    ChatDiffStatus, CheckState, Checks, MergeBlocker, Mergeability, Mergeable, PullRequestState,
    ReviewDecision,
};

use super::{
    name::words,
    table::{Cell, Color},
};

/// As in `✗ 2 failing: build, lint; review required`; empty where nothing is known of it.
pub(super) fn merging(status: &ChatDiffStatus) -> Cell {
    let is_open = matches!(
        status.pull_request_state(),
        PullRequestState::Open | PullRequestState::Draft
    );
    let Some((glyph, color, text)) = glyph(status).filter(|_| is_open) else {
        return Cell::default();
    };
    let named = match &status.checks {
        Some(checks) if checks.state() == CheckState::Failing => failed(checks),
        Some(_) | None => String::new(),
    };
    let reasons = status
        .mergeability
        .as_ref()
        .map(reasons)
        .unwrap_or_default();
    let parts = [
        format!("{glyph} {text}{named}"),
        reasons.join(", "),
        threads(status),
    ];
    let parts: Vec<_> = parts.iter().filter(|part| !part.is_empty()).collect();
    let text: Vec<&str> = parts.into_iter().map(String::as_str).collect();
    Cell::colored(text.join("; "), Some(color))
}

/// What is most urgent.
fn glyph(status: &ChatDiffStatus) -> Option<(char, Color, String)> {
    let (no_merging, no_checks) = (Mergeability::default(), Checks::default());
    let merging = status.mergeability.as_ref().unwrap_or(&no_merging);
    let checks = status.checks.as_ref().unwrap_or(&no_checks);
    let decision = status
        .review_progress
        .as_ref()
        .map(|review| review.decision());
    let count = |number: i32| format!("{number}{}", if checks.at_least { "+" } else { "" });
    let asks_for_changes =
        status.changes_requested || decision == Some(ReviewDecision::ChangesRequested);
    Some(if merging.mergeable() == Mergeable::Conflicting {
        ('!', Color::Red, "conflicts".to_owned())
    } else if checks.state() == CheckState::Failing {
        ('✗', Color::Red, format!("{} failing", count(checks.failed)))
    } else if asks_for_changes {
        ('±', Color::Red, "changes requested".to_owned())
    } else if checks.state() == CheckState::Pending {
        (
            '●',
            Color::Yellow,
            format!("{} pending", count(checks.pending)),
        )
    } else if merging.ready_to_merge {
        ('✓', Color::Green, "ready to merge".to_owned())
    } else if checks.state() == CheckState::Passing {
        ('✓', Color::Green, "passing".to_owned())
    } else if status.approved() {
        ('✓', Color::Green, "approved".to_owned())
    } else {
        return None;
    })
}

/// The names of the checks that failed, as far as they are known.
fn failed(checks: &Checks) -> String {
    let names: Vec<&str> = checks
        .failed_checks
        .iter()
        .map(|check| check.name.as_str())
        .collect();
    if names.is_empty() {
        return String::new();
    }
    let more = i64::from(checks.failed) - i64::try_from(names.len()).unwrap_or(i64::MAX);
    let more = if more > 0 {
        format!(", {more} more")
    } else {
        String::new()
    };
    format!(": {}{more}", names.join(", "))
}

/// Why it is not merged, but for what the glyph says already.
fn reasons(merging: &Mergeability) -> Vec<String> {
    let said = [
        MergeBlocker::Conflicts,
        MergeBlocker::ChecksFailing,
        MergeBlocker::ChecksPending,
        MergeBlocker::ChangesRequested,
    ];
    let blockers = merging.blockers().filter(|blocker| !said.contains(blocker));
    blockers
        .map(|blocker| {
            let name = words(blocker.as_str_name(), "MERGE_BLOCKER_");
            match merging.queue_position {
                Some(position) if blocker == MergeBlocker::InQueue => {
                    format!("{name} at {position}")
                }
                Some(_) | None => name,
            }
        })
        .collect()
}

/// The review threads that are not resolved, and whose they are.
fn threads(status: &ChatDiffStatus) -> String {
    let review = status.review_progress.as_ref();
    let of = |count: Option<i32>| count.filter(|count| *count > 0);
    let Some(all) = review.and_then(|review| of(review.unresolved_threads)) else {
        return String::new();
    };
    match review.and_then(|review| of(review.unresolved_bot_threads)) {
        Some(bots) => format!("{all} unresolved, {bots} by bots"),
        None => format!("{all} unresolved"),
    }
}

#[cfg(test)]
mod tests {
    use proto::chat::v1::{FailedCheck, ReviewProgress};

    use super::*;

    fn open() -> ChatDiffStatus {
        ChatDiffStatus {
            pull_request_state: Some(PullRequestState::Open.into()),
            ..ChatDiffStatus::default()
        }
    }

    fn checks(state: CheckState, failed: i32, pending: i32) -> Option<Checks> {
        Some(Checks {
            state: state.into(),
            total: 14,
            failed,
            pending,
            ..Checks::default()
        })
    }

    fn mergeable(mergeable: Mergeable, blockers: &[MergeBlocker]) -> Option<Mergeability> {
        Some(Mergeability {
            mergeable: mergeable.into(),
            blockers: blockers.iter().map(|blocker| (*blocker).into()).collect(),
            ..Mergeability::default()
        })
    }

    #[test]
    fn of_all_that_is_known_the_glyph_is_the_most_urgent() {
        let mut status = open();
        assert_eq!(merging(&status), Cell::default());
        let mut shows = |change: fn(&mut ChatDiffStatus), text: &str, color| {
            change(&mut status);
            assert_eq!(merging(&status), Cell::colored(text, Some(color)));
        };
        shows(
            |status| status.approved = Some(true),
            "✓ approved",
            Color::Green,
        );
        shows(
            |status| status.checks = checks(CheckState::Passing, 0, 0),
            "✓ passing",
            Color::Green,
        );
        shows(
            |status| {
                status.mergeability = mergeable(Mergeable::Mergeable, &[]);
                let merging = status.mergeability.as_mut().unwrap();
                merging.ready_to_merge = true;
            },
            "✓ ready to merge",
            Color::Green,
        );
        shows(
            |status| {
                status.mergeability =
                    mergeable(Mergeable::Mergeable, &[MergeBlocker::ChecksPending]);
                status.checks = checks(CheckState::Pending, 0, 3);
            },
            "● 3 pending",
            Color::Yellow,
        );
        shows(
            |status| {
                status.review_progress = Some(ReviewProgress {
                    decision: ReviewDecision::ChangesRequested.into(),
                    ..ReviewProgress::default()
                });
            },
            "± changes requested",
            Color::Red,
        );
        shows(
            |status| status.checks = checks(CheckState::Failing, 2, 3),
            "✗ 2 failing",
            Color::Red,
        );
        shows(
            |status| {
                let blockers = [MergeBlocker::Conflicts, MergeBlocker::Draft];
                status.mergeability = mergeable(Mergeable::Conflicting, &blockers);
            },
            "! conflicts; draft",
            Color::Red,
        );
    }

    #[test]
    fn a_failure_names_its_checks_and_the_reasons_beside_it_and_no_name_acts_on_the_terminal() {
        let failed = |name: &str| FailedCheck {
            name: name.to_owned(),
            ..FailedCheck::default()
        };
        let blockers = [
            MergeBlocker::ChecksFailing,
            MergeBlocker::ReviewRequired,
            MergeBlocker::InQueue,
        ];
        let mut mergeability = mergeable(Mergeable::Mergeable, &blockers);
        mergeability.as_mut().unwrap().queue_position = Some(2);
        let status = ChatDiffStatus {
            checks: Some(Checks {
                state: CheckState::Failing.into(),
                failed: 3,
                at_least: true,
                failed_checks: vec![failed("build"), failed("\u{1b}[2Jlint")],
                ..Checks::default()
            }),
            mergeability,
            ..open()
        };
        assert_eq!(
            merging(&status).text(),
            "✗ 3+ failing: build, \\u{1b}[2Jlint, 1 more; review required, in queue at 2"
        );
        let threads = |all, bots| {
            let review_progress = Some(ReviewProgress {
                unresolved_threads: all,
                unresolved_bot_threads: bots,
                ..ReviewProgress::default()
            });
            let checks = checks(CheckState::Pending, 0, 1);
            let status = ChatDiffStatus {
                checks,
                review_progress,
                ..open()
            };
            merging(&status).text().to_owned()
        };
        assert_eq!(
            threads(Some(3), Some(2)),
            "● 1 pending; 3 unresolved, 2 by bots"
        );
        assert_eq!(threads(Some(3), None), "● 1 pending; 3 unresolved");
        assert_eq!(threads(Some(0), Some(0)), "● 1 pending");
    }

    #[test]
    fn what_is_not_open_has_no_glyph() {
        for state in [PullRequestState::Merged, PullRequestState::Closed] {
            let status = ChatDiffStatus {
                pull_request_state: Some(state.into()),
                checks: checks(CheckState::Failing, 1, 0),
                approved: Some(true),
                ..ChatDiffStatus::default()
            };
            assert_eq!(merging(&status), Cell::default(), "{state:?}");
        }
    }
}
