use std::sync::Arc;

use proto::sync::{BudgetView, GitRefId, Head, ProblemClass, PullRequest, RepositoryPath, Window};
use uuid::Uuid;

use super::*;
use crate::budget::{self, Supply};

/// Without jitter, so that intervals are exact.
fn schedule() -> Schedule {
    Schedule {
        jitter_percent: 0,
        failure_jitter_percent: 0,
        ..Schedule::default()
    }
}

fn key() -> BudgetKey {
    BudgetKey("github:1".to_owned())
}

fn known(repository: &str, number: i32) -> KnownPullRequest {
    KnownPullRequest {
        repository: repository.to_owned(),
        number,
        state: PullRequestState::Open,
        draft: false,
        host_id: None,
    }
}

/// Of a chat in which nothing has happened for an hour.
fn git_ref() -> LeasedRef {
    let repository = RepositoryPath::parse("acme/web").unwrap();
    LeasedRef {
        known: Some(known("Acme/Web", 7)),
        since_reported: HOUR,
        since_changed: HOUR,
        since_active: HOUR,
        ..LeasedRef::new(GitRefId(Uuid::nil()), repository, "feature")
    }
}

fn found(state: PullRequestState) -> Finding {
    pull_request(state, false)
}

fn failed(class: ProblemClass) -> Finding {
    Finding::Failed {
        class,
        repository_wide: false,
    }
}

fn pull_request(state: PullRequestState, draft: bool) -> Finding {
    Finding::PullRequest(Arc::new(FoundPullRequest {
        shown: PullRequest {
            number: 7,
            url: "https://github.com/acme/web/pull/7".to_owned(),
            state,
            draft,
            title: String::new(),
            base_branch: "main".to_owned(),
            author_login: None,
            author_avatar_url: None,
            changes_requested: false,
            approved: false,
            reviewer_count: 0,
            head: Head {
                branch: "feature".to_owned(),
                sha: String::new(),
                additions: 0,
                deletions: 0,
                changed_files: 0,
                commits: 0,
            },
        },
        repository: "acme/web".to_owned(),
        host_id: None,
        updated_at: None,
    }))
}

fn next(git_ref: &LeasedRef, finding: &Finding) -> Next {
    schedule().next(&key(), git_ref, finding, DemandFactor::ONE)
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn what_is_looked_at_is_looked_up_every_quarter_of_a_minute() {
    let viewed = LeasedRef {
        viewed: true,
        ..git_ref()
    };
    let next = next(&viewed, &found(PullRequestState::Open));
    assert_eq!((next.refresh_in, next.lane), (seconds(15), Lane::Viewed));
}

#[test]
fn a_pull_request_of_an_active_chat_is_fresh_for_half_a_minute() {
    let active = LeasedRef {
        since_active: ACTIVE_WINDOW - Duration::from_secs(1),
        ..git_ref()
    };
    let next = next(&active, &found(PullRequestState::Open));
    assert_eq!(
        (next.refresh_in, next.lane),
        (Some(DIFF_STATUS_TTL), Lane::Active)
    );
}

#[test]
fn an_open_pull_request_is_looked_up_by_a_tenth_of_its_age() {
    let after = |age: Duration, active: Duration| {
        let aged = LeasedRef {
            since_changed: age,
            since_active: active,
            ..git_ref()
        };
        next(&aged, &found(PullRequestState::Open)).refresh_in
    };
    assert_eq!(after(MINUTE, HOUR), Some(DIFF_STATUS_TTL));
    assert_eq!(after(HOUR, HOUR), seconds(360));
    assert_eq!(after(DAY, DAY), Some(OPEN_CAP));
    // Quiet for a week: from half an hour to six.
    assert_eq!(after(MINUTE, QUIET_AFTER), Some(OPEN_CAP));
    assert_eq!(after(DAY * 2, QUIET_AFTER), Some(DAY * 2 / 10));
    assert_eq!(after(DAY * 90, DAY * 90), Some(QUIET_CAP));
}

#[test]
fn a_draft_is_looked_up_half_as_often() {
    let draft = pull_request(PullRequestState::Open, true);
    assert_eq!(next(&git_ref(), &draft).refresh_in, seconds(720));
}

#[test]
fn what_is_unchanged_is_planned_by_what_is_known() {
    let unchanged = Finding::Unchanged;
    assert_eq!(next(&git_ref(), &unchanged).refresh_in, seconds(360));
    let mut merged = git_ref();
    merged.settled_count = 2;
    if let Some(known) = &mut merged.known {
        known.state = PullRequestState::Merged;
    }
    assert_eq!(next(&merged, &unchanged).refresh_in, None);
}

#[test]
fn after_a_push_a_pull_request_is_looked_for_ever_more_rarely() {
    let after = |misses, since_reported| {
        let git_ref = LeasedRef {
            misses,
            since_reported,
            known: None,
            ..git_ref()
        };
        next(&git_ref, &Finding::NoPullRequest)
    };
    assert_eq!(after(0, MINUTE).refresh_in, seconds(10));
    assert_eq!(after(0, MINUTE).lane, Lane::Active);
    assert_eq!(after(3, MINUTE).refresh_in, seconds(80));
    assert_eq!(
        after(u32::MAX, MINUTE).refresh_in,
        Some(NO_PULL_REQUEST_CAP)
    );
    assert_eq!(after(9, HOUR).refresh_in, seconds(720));
    assert_eq!(after(9, HOUR).lane, Lane::Idle);
    assert_eq!(after(9, DAY * 29).refresh_in, Some(NO_PULL_REQUEST_OLD_CAP));
}

#[test]
fn a_branch_without_a_pull_request_is_looked_up_no_more_after_a_month_without_activity() {
    let old = LeasedRef {
        since_reported: ABANDONED_AFTER,
        since_changed: ABANDONED_AFTER,
        since_active: ABANDONED_AFTER,
        known: None,
        ..git_ref()
    };
    assert_eq!(next(&old, &Finding::NoPullRequest).refresh_in, None);
    let woken = LeasedRef {
        since_active: MINUTE,
        ..old
    };
    assert!(next(&woken, &Finding::NoPullRequest).refresh_in.is_some());
}

#[test]
fn a_merged_pull_request_is_confirmed_twice_and_then_no_more() {
    let after = |settled_count| {
        let git_ref = LeasedRef {
            settled_count,
            ..git_ref()
        };
        next(&git_ref, &found(PullRequestState::Merged)).refresh_in
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
    let next = next(&git_ref, &found(PullRequestState::Merged));
    assert_eq!(next.refresh_in, seconds(60));
}

#[test]
fn a_closed_pull_request_is_looked_at_ever_more_rarely_and_not_for_ever() {
    let after = |settled_count, age: Duration| {
        let git_ref = LeasedRef {
            settled_count,
            since_changed: age,
            since_active: age,
            since_reported: age,
            ..git_ref()
        };
        next(&git_ref, &found(PullRequestState::Closed)).refresh_in
    };
    assert_eq!(
        [after(0, HOUR), after(1, HOUR)],
        [seconds(600), seconds(1200)]
    );
    assert_eq!(
        [after(8, DAY), after(u32::MAX, DAY)],
        [Some(CLOSED_CAP), Some(CLOSED_CAP)]
    );
    assert_eq!(after(8, ABANDONED_AFTER), None);
}

#[test]
fn that_a_pull_request_is_gone_is_asked_three_times_soon_then_daily_and_then_believed() {
    let after = |misses| {
        let git_ref = LeasedRef {
            misses,
            ..git_ref()
        };
        next(&git_ref, &Finding::Gone).refresh_in
    };
    assert_eq!(
        [after(0), after(1), after(2)],
        [seconds(5), seconds(30), seconds(300)]
    );
    assert_eq!(
        [after(3), after(5)],
        [Some(GONE_INTERVAL), Some(GONE_INTERVAL)]
    );
    assert_eq!(after(6), None);
}

/// The table of failures: what follows the first ones in a row.
#[test]
fn every_class_of_failure_has_its_next_attempt() {
    let ordinary = [seconds(5), seconds(10), seconds(20), seconds(40)];
    let rows: [(ProblemClass, [Option<Duration>; 4]); 12] = [
        (ProblemClass::NoAccount, [Some(NO_TOKEN_BACKOFF); 4]),
        (ProblemClass::SsoRequired, [Some(POLICY_BACKOFF); 4]),
        (ProblemClass::AddressNotAllowed, [Some(POLICY_BACKOFF); 4]),
        (
            ProblemClass::AccessDenied,
            [
                seconds(3600),
                seconds(7200),
                seconds(14_400),
                seconds(28_800),
            ],
        ),
        (
            ProblemClass::RepositoryNotFound,
            [seconds(2), seconds(15), seconds(120), seconds(3600)],
        ),
        (ProblemClass::RepositoryBlocked, [Some(DAY); 4]),
        (
            ProblemClass::NotReady,
            [seconds(1), seconds(3), seconds(7), seconds(15)],
        ),
        (ProblemClass::QueryTooHeavy, ordinary),
        (ProblemClass::HostUnavailable, ordinary),
        (ProblemClass::HostAnswerInvalid, ordinary),
        (ProblemClass::HostIncompatible, [seconds(900); 4]),
        (ProblemClass::Internal, ordinary),
    ];
    for (class, expected) in rows {
        for (failures, expected) in (0..).zip(expected) {
            let git_ref = LeasedRef {
                failures,
                ..git_ref()
            };
            let next = next(&git_ref, &failed(class));
            assert_eq!(next.refresh_in, expected, "{class:?}, {failures} before");
            assert_eq!(next.base, None, "{class:?}");
        }
    }
    let often = LeasedRef {
        failures: u32::MAX,
        ..git_ref()
    };
    let after = |class| next(&often, &failed(class)).refresh_in;
    assert_eq!(after(ProblemClass::HostUnavailable), Some(FAILURE_CAP));
    assert_eq!(after(ProblemClass::AccessDenied), Some(ACCESS_CAP));
    assert_eq!(after(ProblemClass::RepositoryNotFound), Some(ACCESS_CAP));
}

#[test]
fn jitter_is_the_budgets_own_bounded_and_the_same_for_all_its_refs() {
    let schedule = Schedule::default();
    let next = |key: &str| {
        let key = BudgetKey(key.to_owned());
        let next = schedule.next(
            &key,
            &git_ref(),
            &found(PullRequestState::Open),
            DemandFactor::ONE,
        );
        assert_eq!(next.base, seconds(360));
        next.refresh_in.unwrap()
    };
    let of_keys: Vec<_> = (0..50).map(|i| next(&format!("github:{i}"))).collect();
    assert_eq!(next("github:1"), of_keys[1]);
    let (least, most) = (Duration::from_secs(306), Duration::from_secs(414));
    assert!(of_keys.iter().all(|next| (least..=most).contains(next)));
    let distinct: std::collections::HashSet<_> = of_keys.iter().collect();
    assert!(distinct.len() > 25, "{} of 50 differ", distinct.len());
}

#[test]
fn budgets_that_failed_together_try_again_apart_and_in_another_order_each_time() {
    let schedule = Schedule::default();
    let down = failed(ProblemClass::HostUnavailable);
    let after = |number: u32, failures| {
        let git_ref = LeasedRef {
            failures,
            ..git_ref()
        };
        let key = BudgetKey(format!("github:{number}"));
        let next = schedule.next(&key, &git_ref, &down, DemandFactor::ONE);
        next.refresh_in.unwrap()
    };
    for (failures, most) in [(0, FAILURE_BACKOFF), (99, FAILURE_CAP)] {
        let mut tenths = [0; 10];
        for number in 0..1000 {
            let interval = after(number, failures);
            assert!((most / 2..=most).contains(&interval), "{interval:?}");
            let place = (interval - most / 2).as_secs_f64() / (most / 2).as_secs_f64();
            tenths[(0..9)
                .filter(|tenth| place > f64::from(tenth + 1) / 10.0)
                .count()] += 1;
        }
        assert!(
            tenths.iter().all(|count| (50..150).contains(count)),
            "{tenths:?}"
        );
    }
    let order = |failures| {
        let mut keys: Vec<_> = (0..20).collect();
        keys.sort_by_key(|number| after(*number, failures));
        keys
    };
    assert_ne!(order(0), order(1));
    assert_eq!(order(1), order(1));
}

#[test]
fn a_short_budget_scales_what_is_idle_and_the_base_tells_what_was_wanted() {
    let budget = BudgetView {
        demand: 1.0,
        ..BudgetView::default()
    };
    let spent = Supply {
        window: Window {
            limit: Some(5000),
            remaining: Some(2000),
            ..Window::default()
        },
        refs_per_request: 25,
    };
    let demand = DemandFactor::of(&budget::Settings::default(), &budget, &spent);
    let next = schedule().next(&key(), &git_ref(), &found(PullRequestState::Open), demand);
    assert_eq!(
        (next.base, next.refresh_in),
        (seconds(360), seconds(360 * 64))
    );
}

#[test]
fn a_person_who_waited_was_answered_and_the_ref_stays_active() {
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
        assert_eq!(
            next(&git_ref, &failed(ProblemClass::AccessDenied)).lane,
            after
        );
    }
}
