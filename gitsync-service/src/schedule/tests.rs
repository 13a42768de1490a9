use std::sync::Arc;

use super::*;
use crate::{lease::Repository, outcome::ReviewSummary};

/// Without jitter, so that intervals are exact.
fn schedule() -> Schedule {
    Schedule {
        jitter_percent: 0,
        ..Schedule::default()
    }
}

fn key() -> BudgetKey {
    BudgetKey("github:1".to_owned())
}

fn git_ref() -> LeasedRef {
    LeasedRef {
        lane: Lane::Idle,
        known: Some(KnownPullRequest::open("Acme/Web", 7)),
        ..LeasedRef::new("r", Repository::parse("acme/web").unwrap(), "feature")
    }
}

fn found(state: PullRequestState) -> Result<Found, Problem> {
    Ok(Found::PullRequest(Arc::new(PullRequest {
        repository: "acme/web".to_owned(),
        number: 7,
        url: "https://github.com/acme/web/pull/7".to_owned(),
        state,
        draft: false,
        title: String::new(),
        reviews: ReviewSummary::default(),
        additions: 0,
        deletions: 0,
        changed_files: 0,
        commits: 0,
        head_branch: "feature".to_owned(),
        base_branch: "main".to_owned(),
        head_sha: String::new(),
        author: None,
        node_id: None,
        updated_at: None,
    })))
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn an_open_pull_request_is_fresh_for_two_minutes() {
    let next = schedule().next(&key(), &git_ref(), &found(PullRequestState::Open));
    assert_eq!(next.refresh_in, seconds(120));
    assert_eq!(next.lane, Lane::Active);
}

#[test]
fn an_ordinary_failure_is_tried_again_after_two_minutes() {
    for problem in [
        Problem::CredentialRejected,
        Problem::AccessDenied,
        Problem::RepositoryNotFound,
        Problem::HostUnavailable("x"),
        Problem::HostAnswerInvalid("x"),
        Problem::ProviderUnsupported,
        Problem::Internal("x"),
    ] {
        let next = schedule().next(&key(), &git_ref(), &Err(problem));
        assert_eq!(next.refresh_in, seconds(120), "{problem}");
    }
}

#[test]
fn an_owner_without_an_account_is_tried_again_after_ten_minutes() {
    let next = schedule().next(&key(), &git_ref(), &Err(Problem::NoAccount));
    assert_eq!(next.refresh_in, seconds(600));
}

#[test]
fn a_rate_limit_lasts_as_long_as_the_host_says_and_a_little_longer() {
    let limited = Problem::RateLimited {
        interface: crate::outcome::Interface::Rest,
        retry_after: Duration::from_secs(300),
    };
    let next = schedule().next(&key(), &git_ref(), &Err(limited));
    assert_eq!(
        next.refresh_in,
        Some(Duration::from_secs(300) + RATE_LIMIT_PADDING)
    );
}

#[test]
fn without_a_pull_request_the_interval_is_short_for_two_minutes_and_then_stretches() {
    let after = |age: u64| {
        let git_ref = LeasedRef {
            since_reported: Duration::from_secs(age),
            ..git_ref()
        };
        schedule().next(&key(), &git_ref, &Ok(Found::NoPullRequest))
    };
    assert_eq!(after(0).refresh_in, seconds(15));
    assert_eq!(after(119).refresh_in, seconds(15));
    // The window ends before its last second, not after it.
    assert_eq!(after(120).refresh_in, seconds(30));
    assert_eq!(after(0).lane, Lane::Active);
    assert_eq!(after(120).lane, Lane::Idle);
    let intervals: Vec<_> = (0..400).map(|i| after(i * 60).refresh_in).collect();
    assert!(intervals.is_sorted(), "{intervals:?}");
    assert_eq!(intervals.last(), Some(&Some(NO_PULL_REQUEST_CAP)));
}

#[test]
fn a_merged_pull_request_is_confirmed_twice_and_then_left_alone() {
    let after = |settled_count| {
        let git_ref = LeasedRef {
            settled_count,
            ..git_ref()
        };
        schedule()
            .next(&key(), &git_ref, &found(PullRequestState::Merged))
            .refresh_in
    };
    assert_eq!(
        [after(0), after(1), after(2), after(9)],
        [seconds(60), seconds(600), None, None]
    );
}

#[test]
fn another_pull_request_than_the_known_one_is_confirmed_from_the_start() {
    let git_ref = LeasedRef {
        settled_count: 2,
        known: None,
        ..git_ref()
    };
    let next = schedule().next(&key(), &git_ref, &found(PullRequestState::Merged));
    assert_eq!(next.refresh_in, seconds(60));
}

#[test]
fn a_closed_pull_request_is_looked_at_ever_more_rarely_up_to_once_a_day() {
    let after = |settled_count| {
        let git_ref = LeasedRef {
            settled_count,
            ..git_ref()
        };
        schedule()
            .next(&key(), &git_ref, &found(PullRequestState::Closed))
            .refresh_in
    };
    assert_eq!([after(0), after(1)], [seconds(600), seconds(1200)]);
    assert_eq!(
        [after(8), after(u32::MAX)],
        [Some(CLOSED_CAP), Some(CLOSED_CAP)]
    );
}

#[test]
fn a_pull_request_that_is_gone_is_believed_after_three_answers() {
    let after = |misses| {
        let git_ref = LeasedRef {
            misses,
            ..git_ref()
        };
        schedule()
            .next(&key(), &git_ref, &Ok(Found::Gone))
            .refresh_in
    };
    assert_eq!(
        [after(0), after(1), after(2)],
        [Some(GONE_INTERVAL), Some(GONE_INTERVAL), None]
    );
}

#[test]
fn jitter_is_the_keys_own_bounded_and_the_same_for_all_its_refs() {
    let schedule = Schedule::default();
    let next = |key: &str| {
        schedule
            .next(
                &BudgetKey(key.to_owned()),
                &git_ref(),
                &found(PullRequestState::Open),
            )
            .refresh_in
            .unwrap()
    };
    let of_keys: Vec<_> = (0..50).map(|i| next(&format!("github:{i}"))).collect();
    assert_eq!(next("github:1"), of_keys[1]);
    let most = DIFF_STATUS_TTL * (100 + JITTER_PERCENT) / 100;
    assert!(
        of_keys
            .iter()
            .all(|next| (DIFF_STATUS_TTL..=most).contains(next))
    );
    let distinct: std::collections::HashSet<_> = of_keys.iter().collect();
    assert!(distinct.len() > 25, "{} of 50 differ", distinct.len());
}

#[test]
fn whoever_waited_has_been_answered_and_the_ref_stays_active() {
    for (before, after) in [
        (Lane::Interactive, Lane::Active),
        (Lane::Viewed, Lane::Active),
        (Lane::Active, Lane::Active),
        (Lane::Idle, Lane::Idle),
    ] {
        let git_ref = LeasedRef {
            lane: before,
            ..git_ref()
        };
        let next = schedule().next(&key(), &git_ref, &Err(Problem::AccessDenied));
        assert_eq!(next.lane, after);
    }
}
