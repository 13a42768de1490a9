//! The table of what checks say, and what comes of runs that were superseded.

use super::*;

fn at(text: &str) -> Option<Timestamp> {
    Some(format!("2026-08-01T{text}Z").parse().unwrap())
}

fn run(name: &str, status: &str, conclusion: &str, started_at: Option<Timestamp>) -> Check {
    Check {
        is_run: true,
        workflow: Some("CI".to_owned()),
        name: name.to_owned(),
        verdict: of_run(status, Some(conclusion).filter(|text| !text.is_empty())),
        url: None,
        started_at,
        id: 0,
    }
}

fn status(name: &str, state: &str) -> Check {
    Check {
        is_run: false,
        workflow: None,
        ..Check {
            verdict: of_status(state),
            ..run(name, "completed", "success", None)
        }
    }
}

fn sum(checks: Vec<Check>) -> Checks {
    CheckList {
        checks,
        ..CheckList::default()
    }
    .sum()
}

/// State, and how many passed, failed, are pending, and were skipped.
fn counted(sum: &Checks) -> (CheckState, [u32; 4]) {
    (
        sum.state,
        [sum.passed, sum.failed, sum.pending, sum.skipped],
    )
}

#[test]
fn each_word_of_a_run_or_a_status_means_one_thing() {
    use CheckVerdict::{Failed, Passed, Pending, Skipped};
    for (conclusion, verdict) in [
        ("SUCCESS", Passed),
        ("NEUTRAL", Skipped),
        ("SKIPPED", Skipped),
        ("FAILURE", Failed),
        ("CANCELLED", Failed),
        ("TIMED_OUT", Failed),
        ("ACTION_REQUIRED", Failed),
        ("STARTUP_FAILURE", Failed),
        ("STALE", Pending),
        ("", Pending),
        ("A_NEW_WORD", Pending),
    ] {
        assert_eq!(
            of_run("COMPLETED", Some(conclusion)),
            verdict,
            "{conclusion}"
        );
        let lower = conclusion.to_lowercase();
        assert_eq!(of_run("completed", Some(&lower)), verdict, "{lower}");
        // While it runs it has no conclusion, or one of the run before it.
        for status in [
            "QUEUED",
            "in_progress",
            "WAITING",
            "PENDING",
            "REQUESTED",
            "NEW",
        ] {
            assert_eq!(of_run(status, Some(conclusion)), Pending, "{status}");
        }
    }
    assert_eq!(of_run("COMPLETED", None), Pending);
    for (state, verdict) in [
        ("SUCCESS", Passed),
        ("failure", Failed),
        ("ERROR", Failed),
        ("PENDING", Pending),
        ("EXPECTED", Pending),
        ("A_NEW_WORD", Pending),
    ] {
        assert_eq!(of_status(state), verdict, "{state}");
    }
}

#[test]
fn of_each_name_the_latest_run_counts_and_one_that_was_superseded_for_nothing() {
    let cancelled = run(
        "check-pr-description",
        "COMPLETED",
        "CANCELLED",
        at("08:54:00"),
    );
    let passed = run(
        "check-pr-description",
        "COMPLETED",
        "SUCCESS",
        at("09:02:00"),
    );
    let failed = run("policy", "COMPLETED", "FAILURE", at("05:26:31"));
    let mended = run("policy", "COMPLETED", "SUCCESS", at("05:28:16"));
    let queued = run("policy", "QUEUED", "", None);
    let one = |passed, failed, pending| [passed, failed, pending, 0];
    for (name, checks, expected) in [
        (
            "cancelled, and passed since",
            vec![cancelled.clone(), passed.clone()],
            (CheckState::Passing, one(1, 0, 0)),
        ),
        (
            "the same, listed the other way round",
            vec![passed.clone(), cancelled.clone()],
            (CheckState::Passing, one(1, 0, 0)),
        ),
        (
            "cancelled, and nothing since",
            vec![cancelled.clone()],
            (CheckState::Failing, one(0, 1, 0)),
        ),
        (
            "failed, and passed since",
            vec![failed.clone(), mended.clone(), passed.clone()],
            (CheckState::Passing, one(2, 0, 0)),
        ),
        (
            "failed, and its replacement waits to begin",
            vec![queued.clone(), failed.clone()],
            (CheckState::Pending, one(0, 0, 1)),
        ),
        (
            "passed, and run again",
            vec![
                mended.clone(),
                run("policy", "IN_PROGRESS", "", at("05:30:00")),
            ],
            (CheckState::Pending, one(0, 0, 1)),
        ),
        (
            "passed, and cancelled before it began again",
            vec![
                mended.clone(),
                run("policy", "COMPLETED", "CANCELLED", None),
            ],
            (CheckState::Failing, one(0, 1, 0)),
        ),
    ] {
        assert_eq!(counted(&sum(checks)), expected, "{name}");
    }
}

#[test]
fn runs_of_two_workflows_and_a_status_of_one_name_are_three_checks() {
    let other = Check {
        workflow: Some("Nightly".to_owned()),
        ..run("build", "COMPLETED", "FAILURE", at("01:00:00"))
    };
    let sum = sum(vec![
        run("build", "COMPLETED", "SUCCESS", at("02:00:00")),
        other,
        status("build", "SUCCESS"),
    ]);
    assert_eq!(counted(&sum), (CheckState::Failing, [2, 1, 0, 0]));
}

#[test]
fn a_failure_outranks_what_is_pending_and_what_is_skipped_decides_nothing() {
    let failed = run("a", "COMPLETED", "TIMED_OUT", at("01:00:00"));
    let pending = run("b", "IN_PROGRESS", "", at("01:00:00"));
    let skipped = run("c", "COMPLETED", "SKIPPED", at("01:00:00"));
    let all = sum(vec![failed, pending.clone(), skipped.clone()]);
    assert_eq!(counted(&all), (CheckState::Failing, [0, 1, 1, 1]));
    let left = sum(vec![pending, skipped.clone()]);
    assert_eq!(counted(&left), (CheckState::Pending, [0, 0, 1, 1]));
    assert_eq!(
        counted(&sum(vec![skipped])),
        (CheckState::Passing, [0, 0, 0, 1])
    );
    assert_eq!(counted(&sum(Vec::new())), (CheckState::None, [0; 4]));
}

#[test]
fn a_required_check_that_never_reported_is_pending() {
    let required = |checks: Vec<Check>| CheckList {
        checks,
        required: BTreeSet::from(["build".to_owned(), "deploy".to_owned()]),
        beyond: None,
    };
    let built = run("build", "COMPLETED", "SUCCESS", at("01:00:00"));
    let sum = required(vec![built.clone()]).sum();
    assert_eq!(counted(&sum), (CheckState::Pending, [1, 0, 1, 0]));
    // The host may show it as expected: it is one check.
    let sum = required(vec![built, status("deploy", "EXPECTED")]).sum();
    assert_eq!(counted(&sum), (CheckState::Pending, [1, 0, 1, 0]));
}

#[test]
fn of_more_checks_than_are_listed_the_hosts_sum_decides_unless_one_failed() {
    let cut = |checks: Vec<Check>, beyond| {
        let listed = CheckList {
            checks,
            required: BTreeSet::from(["far beyond".to_owned()]),
            beyond: Some(beyond),
        };
        listed.sum()
    };
    let passed = run("a", "COMPLETED", "SUCCESS", at("01:00:00"));
    let failed = run("a", "COMPLETED", "FAILURE", at("01:00:00"));
    for (checks, beyond, state) in [
        (vec![passed.clone()], "PENDING", CheckState::Pending),
        (vec![passed.clone()], "EXPECTED", CheckState::Pending),
        (vec![passed.clone()], "ERROR", CheckState::Failing),
        (vec![passed], "SUCCESS", CheckState::Passing),
        (vec![failed], "PENDING", CheckState::Failing),
    ] {
        let sum = cut(checks, of_all(beyond));
        assert_eq!(
            (sum.state, sum.at_least, sum.total),
            (state, true, 1),
            "{beyond}"
        );
    }
}

#[test]
fn failed_checks_are_named_with_the_required_ones_first() {
    let failed = |name: &str| run(name, "COMPLETED", "FAILURE", at("01:00:00"));
    let listed = CheckList {
        checks: ["b", "z", "a"].map(failed).to_vec(),
        required: BTreeSet::from(["z".to_owned()]),
        beyond: None,
    };
    let names: Vec<(String, bool)> = listed
        .sum()
        .failed_checks
        .into_iter()
        .map(|check| (check.name, check.required))
        .collect();
    let expected = [("z", true), ("a", false), ("b", false)];
    assert_eq!(
        names,
        expected.map(|(name, required)| (name.to_owned(), required))
    );
}

#[test]
fn what_the_host_has_not_worked_out_is_neither_mergeable_nor_conflicting() {
    for (mergeable, state, expected) in [
        (Some(true), "CLEAN", MergeState::Clean),
        (Some(true), "has_hooks", MergeState::Clean),
        (Some(true), "UNSTABLE", MergeState::Clean),
        (Some(true), "behind", MergeState::Behind),
        (Some(true), "BLOCKED", MergeState::Blocked),
        (Some(true), "draft", MergeState::Blocked),
        (Some(true), "unknown", MergeState::Unknown),
        (Some(true), "A_NEW_WORD", MergeState::Unknown),
        (Some(false), "dirty", MergeState::Conflicting),
        (Some(false), "UNKNOWN", MergeState::Conflicting),
        (None, "DIRTY", MergeState::Conflicting),
        (None, "unknown", MergeState::Unknown),
        (None, "CLEAN", MergeState::Unknown),
    ] {
        assert_eq!(
            merge_state(mergeable, state),
            expected,
            "{mergeable:?} {state}"
        );
    }
}
