use std::{sync::atomic::AtomicBool, time::Duration};

use super::*;
use crate::{
    lease::{BudgetView, Lane, LeaseGroup, LeaseToken, ProviderConfig, ProviderKind, Window},
    outcome::Interface,
    provider::gate::Asker,
};

const HEARD: Duration = Duration::from_secs(600);
const LATER: Duration = Duration::from_secs(200);

fn refresh() -> Refresh {
    Refresher::builder().build().unwrap().open(Arc::new(Lease {
        token: LeaseToken::new("lease".to_owned()),
        budget_key: BudgetKey("key".to_owned()),
        expires_in: Duration::from_secs(60),
        groups: vec![LeaseGroup {
            provider: ProviderConfig {
                id: "github".to_owned(),
                kind: ProviderKind::Github,
                api_base_url: "https://api.github.com".to_owned(),
            },
            access_token: None,
            refs: Vec::new(),
            credential_id: Some("credential".to_owned()),
            credential_suspect: false,
        }],
        budget: BudgetView::default(),
    }))
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
    [now, now + LATER].map(|at| refresh.gate.observed(at).unwrap())
}

#[test]
fn a_pause_ends_when_it_was_to_end_however_late_it_is_reported() {
    for interface in [Interface::Rest, Interface::Graphql] {
        let [now, later] = told(|asker| {
            asker.spend(interface, Some(HEARD));
        })
        .map(|seen| match interface {
            Interface::Rest => seen.rest.pause_for.unwrap(),
            Interface::Graphql => seen.graphql.pause_for.unwrap(),
        });
        assert!(now > HEARD, "{now:?}");
        assert_eq!(now - later, LATER);
    }
    let [now, later] = told(|asker| {
        asker.leave_alone(Some(HEARD));
    })
    .map(|seen| seen.pause_for.unwrap());
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
    .map(|seen| seen.graphql);
    assert_eq!(now.reset_in.unwrap() - later.reset_in.unwrap(), LATER);
    assert_eq!(later.remaining, Some(7));
}

#[test]
fn a_pause_that_is_over_is_not_reported() {
    let refresh = refresh();
    say(&refresh, |asker| {
        asker.spend(Interface::Rest, Some(LATER));
    });
    assert_eq!(refresh.gate.observed(Instant::now() + 2 * HEARD), None);
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
        for interface in [Interface::Rest, Interface::Graphql] {
            let refused = asker.check(interface).unwrap_err();
            assert!(matches!(refused, Problem::SecondaryLimited { .. }));
        }
    });
    assert!(refresh.budget().unwrap().pause_for.is_some());
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
    assert!(seen[0].confirm_in.is_some());
}
