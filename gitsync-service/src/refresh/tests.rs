use std::{sync::atomic::AtomicBool, time::Duration};

use super::*;
use crate::{
    lease::{Lane, Window, lease_of},
    outcome::{CredentialState, Pause},
    provider::gate::Asker,
};

const BOTH: [Interface; 2] = [Interface::Rest, Interface::Graphql];
const HEARD: Duration = Duration::from_secs(600);
const LATER: Duration = Duration::from_secs(200);

fn refresh() -> Refresh {
    let lease = lease_of("key", "https://api.github.com", Vec::new());
    Refresher::builder().build().unwrap().open(Arc::new(lease))
}

fn window(seen: &BudgetObservation, interface: Interface) -> Window {
    let mut named = seen.windows.iter();
    let window = named.find(|window| window.name == interface.window());
    window.unwrap().clone()
}

fn say(refresh: &Refresh, what: impl FnOnce(&Asker<'_>)) {
    let started = AtomicBool::new(false);
    let access = &refresh.access[0];
    what(&Asker::new(&refresh.gate, access, Lane::Active, &started));
}

/// How the budget is told now and [`LATER`], after the host said what `what` does.
fn told(what: impl FnOnce(&Asker<'_>)) -> [BudgetObservation; 2] {
    let refresh = refresh();
    say(&refresh, what);
    let now = Instant::now();
    [now, now + LATER].map(|at| refresh.gate.observed(&BOTH, at).unwrap())
}

#[test]
fn a_pause_ends_when_it_was_to_end_however_late_it_is_reported() {
    for interface in BOTH {
        let [now, later] = told(|asker| {
            asker.spend(interface, Some(HEARD));
        })
        .map(|seen| {
            assert_eq!(seen.pause, None, "the other interface serves");
            window(&seen, interface).pause_for.unwrap()
        });
        assert!(now > HEARD, "{now:?}");
        assert_eq!(now - later, LATER);
    }
    let [now, later] = told(|asker| {
        asker.leave_alone(Some(HEARD));
    })
    .map(|seen| seen.pause.unwrap().duration);
    assert_eq!(now - later, LATER);
}

#[test]
fn a_window_ends_when_it_was_to_end_however_late_it_is_reported() {
    let [now, later] = told(|asker| {
        asker.observe(
            Interface::Graphql,
            Some(Window {
                remaining: Some(7),
                reset_in: Some(HEARD),
                ..Window::default()
            }),
        );
    })
    .map(|seen| window(&seen, Interface::Graphql));
    assert_eq!(now.reset_in.unwrap() - later.reset_in.unwrap(), LATER);
    assert_eq!(later.remaining, Some(7));
}

#[test]
fn a_pause_that_is_over_is_not_reported() {
    let refresh = refresh();
    say(&refresh, |asker| {
        asker.spend(Interface::Rest, Some(LATER));
    });
    let later = Instant::now() + 2 * HEARD;
    assert_eq!(refresh.gate.observed(&BOTH, later), None);
}

#[test]
fn what_was_counted_is_told_once_unless_it_is_given_back() {
    let refresh = refresh();
    say(&refresh, |asker| {
        asker.leave_alone(None);
    });
    let counted = refresh.take_counts();
    let told = refresh.budget_with(counted).unwrap();
    assert_eq!(told.secondary_refusals, 1);
    let again = refresh.budget_with(refresh.take_counts()).unwrap();
    assert_eq!(again.secondary_refusals, 0, "the pause is told again");
    refresh.give_back(counted);
    let told = refresh.budget_with(refresh.take_counts()).unwrap();
    assert_eq!(told.secondary_refusals, 1);
}

#[test]
fn a_200_after_a_secondary_limit_does_not_lift_it() {
    let refresh = refresh();
    say(&refresh, |asker| {
        asker.leave_alone(None);
        asker.answered();
        asker.accepted();
        for interface in BOTH {
            let refused = asker.check(interface).unwrap_err();
            assert!(matches!(refused, Problem::SecondaryLimited { .. }));
        }
    });
    assert!(refresh.budget().unwrap().pause.is_some());
}

#[test]
fn a_credential_is_suspect_before_it_is_rejected() {
    let refresh = refresh();
    assert!(refresh.credentials().is_empty());
    say(&refresh, |asker| {
        assert_eq!(asker.refuse_credential(), Problem::CredentialSuspect);
    });
    let seen = refresh.credentials();
    assert_eq!(seen[0].state, CredentialState::Suspect);
    assert!(seen[0].confirm_in >= pace::pause::CONFIRMATION);
}

#[test]
fn the_budget_pauses_as_a_whole_when_every_way_to_ask_the_host_does() {
    let paused = |interfaces: &[Interface], spent: &[Interface]| {
        let refresh = refresh();
        say(&refresh, |asker| {
            for (interface, ends) in spent.iter().zip([HEARD, LATER]) {
                asker.spend(*interface, Some(ends));
            }
        });
        refresh
            .gate
            .observed(interfaces, Instant::now())
            .unwrap()
            .pause
    };
    assert_eq!(paused(&BOTH, &[Interface::Graphql]), None);
    assert_eq!(paused(&[Interface::Rest], &[Interface::Graphql]), None);
    for pause in [
        paused(&BOTH, &BOTH),
        paused(&[Interface::Rest], &[Interface::Graphql, Interface::Rest]),
    ] {
        let pause = pause.unwrap();
        assert_eq!(pause.class, ProblemClass::RateLimited);
        assert_eq!(pause.from_lane, Lane::Interactive);
        // The first that may be spent again ends it.
        assert!(pause.duration < HEARD);
    }
}

#[test]
fn what_is_chosen_not_to_be_sent_is_told_by_its_most_urgent_lane_until_the_first_of_it_may_be() {
    let reserved = |seconds| Problem::Reserved {
        interface: Interface::Rest,
        retry_after: Duration::from_secs(seconds),
    };
    let spared = |seconds| Problem::HostSpared {
        retry_after: Duration::from_secs(seconds),
    };
    let reason = ProblemClass::LimitReserved;
    let key = BudgetKey("key".to_owned());
    let row = |seconds, class, from_lane| Pause {
        // Keys whose windows end together come back one after the other.
        duration: pace::pause::primary(
            &pace::Pauses::default(),
            Duration::from_secs(seconds),
            &key,
        ),
        class,
        from_lane,
    };
    for (withheld, expected) in [
        (
            vec![(Lane::Idle, reserved(600))],
            row(600, reason, Lane::Idle),
        ),
        (
            vec![(Lane::Active, reserved(600))],
            row(600, reason, Lane::Viewed),
        ),
        (
            vec![(Lane::Interactive, reserved(600))],
            row(600, reason, Lane::Interactive),
        ),
        (
            vec![(Lane::Active, reserved(600)), (Lane::Idle, reserved(60))],
            row(60, reason, Lane::Viewed),
        ),
        (
            vec![(Lane::Idle, reserved(60)), (Lane::Idle, spared(600))],
            row(60, ProblemClass::HostUnavailable, Lane::Interactive),
        ),
    ] {
        let refresh = refresh();
        for (lane, problem) in withheld {
            refresh.gate.withhold(lane, problem);
        }
        let rest = refresh.budget().unwrap().rest.unwrap();
        assert_eq!(
            (rest.class, rest.from_lane),
            (expected.class, expected.from_lane)
        );
        let late = expected.duration.saturating_sub(rest.duration);
        assert!(late < Duration::from_secs(5), "{rest:?}");
    }
}
