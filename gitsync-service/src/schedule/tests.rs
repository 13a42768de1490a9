use std::sync::Arc;

use proto::sync::{
    BudgetView, Checks, GitRefId, Head, KnownPullRequest, ProblemClass, Progress, PullRequest,
    RepositoryPath, Window,
};
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

/// Of a chat in which nothing has happened for an hour.
fn git_ref() -> LeasedRef {
    let repository = RepositoryPath::parse("acme/web").unwrap();
    LeasedRef {
        known: Some(KnownPullRequest {
            repository: "Acme/Web".to_owned(),
            number: 7,
            state: PullRequestState::Open,
            draft: false,
            host_id: None,
            checks_pending: false,
            merge_unknown: false,
        }),
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
            pushed_after_merge: None,
            progress: Progress::default(),
            head: Head {
                branch: "feature".to_owned(),
                sha: String::new(),
                additions: 0,
                deletions: 0,
                changed_files: 0,
                commits: 0,
                checks: None,
                merge_state: None,
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

/// When and in which lane a ref that is `change`d is looked up again after `finding`.
fn after(finding: &Finding, change: impl FnOnce(&mut LeasedRef)) -> (Option<Duration>, Lane) {
    let mut git_ref = git_ref();
    change(&mut git_ref);
    let next = next(&git_ref, finding);
    (next.refresh_in, next.lane)
}

/// The same for a ref whose chat has been quiet since `age`.
fn aged(finding: &Finding, age: Duration) -> Option<Duration> {
    let change = |git_ref: &mut LeasedRef| {
        (git_ref.since_changed, git_ref.since_active) = (age, age);
        git_ref.since_reported = age;
    };
    after(finding, change).0
}

#[test]
fn an_open_pull_request_is_looked_up_by_who_looks_and_by_a_tenth_of_its_age() {
    let open = found(PullRequestState::Open);
    let viewed = after(&open, |git_ref| git_ref.viewed = true);
    assert_eq!(viewed, (seconds(15), Lane::Viewed));
    let active = after(&open, |git_ref| {
        git_ref.since_active = Duration::from_secs(599);
    });
    assert_eq!(active, (seconds(30), Lane::Active));
    for (age, interval) in [(DAY, 1800), (DAY * 90, 6 * 3600), (HOUR, 360)] {
        assert_eq!(aged(&open, age), seconds(interval), "{age:?}");
    }
    // Quiet for a week: from half an hour to six.
    for (changed, active, interval) in [
        (MINUTE, HOUR, 30),
        (MINUTE, QUIET_AFTER, 1800),
        (DAY * 2, QUIET_AFTER, 17_280),
    ] {
        let (next, _) = after(&open, |git_ref| {
            (git_ref.since_changed, git_ref.since_active) = (changed, active);
        });
        assert_eq!(next, seconds(interval), "{changed:?}, {active:?}");
    }
    let draft = pull_request(PullRequestState::Open, true);
    assert_eq!(aged(&draft, HOUR), seconds(720), "half as often");
}

#[test]
fn what_is_unchanged_is_planned_by_what_is_known() {
    assert_eq!(aged(&Finding::Unchanged, HOUR), seconds(360));
    let (merged, _) = after(&Finding::Unchanged, |git_ref| {
        git_ref.settled_count = 2;
        git_ref.known.as_mut().unwrap().state = PullRequestState::Merged;
    });
    assert_eq!(merged, None);
}

#[test]
fn after_a_push_a_pull_request_is_looked_for_ever_more_rarely() {
    for (misses, age, interval, lane) in [
        (0, MINUTE, 10, Lane::Active),
        (3, MINUTE, 80, Lane::Active),
        (u32::MAX, MINUTE, 600, Lane::Active),
        (9, HOUR, 720, Lane::Idle),
        (9, DAY * 29, 12 * 3600, Lane::Idle),
    ] {
        let next = after(&Finding::NoPullRequest, |git_ref| {
            (git_ref.misses, git_ref.since_reported) = (misses, age);
        });
        assert_eq!(next, (seconds(interval), lane), "{misses}, {age:?}");
    }
}

#[test]
fn what_is_not_open_is_looked_up_no_more_after_a_month_without_activity() {
    for finding in [Finding::NoPullRequest, found(PullRequestState::Closed)] {
        assert_eq!(aged(&finding, ABANDONED_AFTER), None);
        let (woken, _) = after(&finding, |git_ref| {
            (git_ref.since_changed, git_ref.since_active) = (ABANDONED_AFTER, MINUTE);
            git_ref.since_reported = ABANDONED_AFTER;
        });
        assert!(woken.is_some());
    }
}

#[test]
fn what_is_settled_or_gone_is_confirmed_a_few_times() {
    let closed = found(PullRequestState::Closed);
    let merged = found(PullRequestState::Merged);
    let day = 24 * 3600;
    for (finding, times, interval) in [
        (&merged, 0, seconds(60)),
        (&merged, 1, seconds(600)),
        (&merged, 2, None),
        (&merged, 9, None),
        (&closed, 0, seconds(600)),
        (&closed, 1, seconds(1200)),
        (&closed, u32::MAX, seconds(day)),
        (&Finding::Gone, 0, seconds(5)),
        (&Finding::Gone, 1, seconds(30)),
        (&Finding::Gone, 2, seconds(300)),
        (&Finding::Gone, 3, seconds(day)),
        (&Finding::Gone, 5, seconds(day)),
        (&Finding::Gone, 6, None),
    ] {
        let (next, _) = after(finding, |git_ref| {
            (git_ref.misses, git_ref.settled_count) = (times, times);
        });
        assert_eq!(next, interval, "{finding:?} after {times}");
    }
    // Another one than the known is confirmed from the start.
    let (other, _) = after(&merged, |git_ref| {
        (git_ref.settled_count, git_ref.known) = (2, None);
    });
    assert_eq!(other, seconds(60));
}

/// The table of failures: what follows the first ones in a row.
#[test]
fn every_class_of_failure_has_its_next_attempt() {
    let ordinary = [seconds(5), seconds(10), seconds(20), seconds(40)];
    let rows: [(ProblemClass, [Option<Duration>; 4]); 12] = [
        (ProblemClass::NoAccount, [Some(NO_TOKEN_BACKOFF); 4]),
        (ProblemClass::SsoRequired, [seconds(6 * 3600); 4]),
        (ProblemClass::AddressNotAllowed, [seconds(6 * 3600); 4]),
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
    for (class, cap) in [
        (ProblemClass::HostUnavailable, seconds(900)),
        (ProblemClass::AccessDenied, Some(DAY)),
        (ProblemClass::RepositoryNotFound, Some(DAY)),
    ] {
        assert_eq!(next(&often, &failed(class)).refresh_in, cap, "{class:?}");
    }
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
    for (failures, most) in [(0, schedule.failure_backoff), (99, schedule.failure_cap)] {
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
            remaining: Some(0),
            ..Window::default()
        },
        requests_per_ref: 1.0 / 25.0,
    };
    let demand = DemandFactor::of(&budget::Settings::default(), &budget, &spent, None);
    let next = schedule().next(&key(), &git_ref(), &Finding::Unchanged, demand);
    let wanted = Duration::from_secs(360);
    assert_eq!(next.base, Some(wanted));
    assert_eq!(next.refresh_in, Some(wanted * 64));
}

#[test]
fn a_person_who_waited_was_answered_and_the_ref_stays_active() {
    for (before, expected) in [
        (Lane::Interactive, Lane::Active),
        (Lane::Viewed, Lane::Active),
        (Lane::Active, Lane::Active),
        (Lane::Idle, Lane::Idle),
    ] {
        let denied = failed(ProblemClass::AccessDenied);
        let (_, lane) = after(&denied, |git_ref| git_ref.lane = before);
        assert_eq!(lane, expected);
    }
}

/// An open one with this change.
fn open_with(change: impl FnOnce(&mut PullRequest)) -> Finding {
    let Finding::PullRequest(mut found) = found(PullRequestState::Open) else {
        panic!("it was found");
    };
    change(&mut Arc::make_mut(&mut found).shown);
    Finding::PullRequest(found)
}

#[test]
fn checks_that_have_not_ended_make_a_pull_request_active_for_as_long_as_a_job_may_take() {
    let pending = open_with(|shown| {
        shown.head.checks = Some(Checks {
            state: CheckState::Pending,
            total: 1,
            passed: 0,
            failed: 0,
            pending: 1,
            skipped: 0,
            at_least: false,
            failed_checks: Vec::new(),
        });
    });
    let active = (seconds(30), Lane::Active);
    assert_eq!(after(&pending, |_| {}), active);
    // The host says no more than that nothing changed, and they were pending.
    let known = |git_ref: &mut LeasedRef| git_ref.known.as_mut().unwrap().checks_pending = true;
    assert_eq!(after(&Finding::Unchanged, known), active);
    let stuck = |git_ref: &mut LeasedRef| git_ref.since_changed = HOUR * 6;
    assert_eq!(after(&pending, stuck), (seconds(1800), Lane::Idle));
}

#[test]
fn what_the_host_had_not_worked_out_is_asked_again_after_five_ten_and_fifteen_seconds() {
    let unknown = open_with(|shown| shown.head.merge_state = Some(MergeState::Unknown));
    assert_eq!(after(&unknown, |_| {}), (seconds(5), Lane::Active));
    for (since, again) in [(5, Some(10)), (15, Some(15)), (30, None), (3600, None)] {
        let asked = after(&unknown, |git_ref| {
            git_ref.known.as_mut().unwrap().merge_unknown = true;
            git_ref.since_changed = Duration::from_secs(since);
        });
        match again {
            Some(again) => assert_eq!(asked, (seconds(again), Lane::Active), "{since} s"),
            None => assert_eq!(asked.1, Lane::Idle, "{since} s"),
        }
    }
    // A person who looks waits no longer for it.
    let viewed = after(&unknown, |git_ref| git_ref.viewed = true);
    assert_eq!(viewed, (seconds(5), Lane::Viewed));
    let known = open_with(|shown| shown.head.merge_state = Some(MergeState::Clean));
    assert_eq!(after(&known, |_| {}).1, Lane::Idle);
}
