//! Hosts in trouble: what several accounts meet is the host's, and what one meets is its own.

use std::time::Duration;

use gitsync_service::{
    lease::Lane,
    outcome::ProblemClass,
    pace::hosts::{HOST_PAUSE, PROBE_AFTER},
    refresh::Refresher,
};
use testkit::github::{Fault, GitHub, Matching};

use crate::support::{
    Refreshed, engine, git_ref, group, lease, lease_of, refresh, refresh_until, result, world,
};

const LOGINS: [&str; 4] = ["ann", "bob", "carl", "dora"];

/// One ref of each user, one user after the other.
async fn each(github: &GitHub, refresher: &Refresher, logins: &[&str]) -> Vec<Refreshed> {
    let mut all = Vec::new();
    for login in logins {
        let user = github.user(login);
        github.repository("acme/web").grant(&user);
        let groups = vec![group(
            github,
            &user.token(),
            vec![git_ref("r", "acme/web", "feature")],
        )];
        all.push(refresh(refresher, lease_of(login, groups)).await);
    }
    all
}

#[tokio::test]
async fn a_host_that_fails_three_accounts_is_left_alone_for_a_moment() {
    let (github, _) = world().await;
    let refresher = engine();
    github.fault(Matching::any()).respond(Fault::Status(503));
    let refreshed = each(&github, &refresher, &LOGINS).await;
    for refreshed in &refreshed {
        assert_eq!(refreshed.class("r"), "host_unavailable");
    }
    // What is not sent is no failure of the ref.
    let [.., carl, dora] = refreshed.as_slice() else {
        panic!("{refreshed:?}");
    };
    assert!(carl.result("r").is_err() && carl.rest().is_none());
    assert!(dora.outcomes.is_empty());
    let rest = dora.rest().unwrap();
    assert_eq!(rest.class, ProblemClass::HostUnavailable);
    assert_eq!(rest.from_lane, Lane::Interactive);
    assert!(rest.duration <= PROBE_AFTER);
    assert_eq!(github.count(Matching::any().by("carl")), 1);
    assert_eq!(github.count(Matching::any().by("dora")), 0);
}

#[tokio::test]
async fn a_host_that_fails_two_accounts_goes_on_serving_the_others() {
    let (github, _) = world().await;
    let refresher = engine();
    github
        .fault(Matching::any())
        .times(2)
        .respond(Fault::Status(503));
    let refreshed = each(&github, &refresher, &LOGINS).await;
    let well = refreshed.iter().filter(|r| r.result("r").is_ok());
    assert_eq!(well.count(), 2);
}

#[tokio::test]
async fn a_host_that_slows_three_accounts_down_is_begun_with_by_nobody_for_a_while() {
    let (github, _) = world().await;
    let refresher = engine();
    github
        .fault(Matching::any())
        .respond(Fault::SecondaryLimit {
            status: 403,
            retry_after: None,
        });
    let refreshed = each(&github, &refresher, &LOGINS).await;
    for refreshed in &refreshed {
        assert_eq!(refreshed.withheld("r"), ProblemClass::SecondaryLimited);
    }
    let [first, .., dora] = refreshed.as_slice() else {
        panic!("{refreshed:?}");
    };
    assert!(first.pause().is_some() && dora.pause().is_none());
    assert!(dora.rest().unwrap().duration >= HOST_PAUSE - Duration::from_secs(5));
    assert_eq!(github.count(Matching::any().by("dora")), 0);
}

#[tokio::test]
async fn at_the_deadline_what_was_asked_fails_and_what_was_not_is_left() {
    let (github, token) = world().await;
    let hold = github.hold(Matching::graphql());
    let refs = (0..30)
        .map(|index| git_ref(&format!("r{index}"), "acme/web", &format!("b{index}")))
        .collect();
    let lease = lease(vec![group(&github, &token, refs)]);
    let refreshed = refresh_until(&engine(), lease, Duration::from_millis(300)).await;
    // A request is of ten branches.
    assert_eq!(refreshed.outcomes.len(), 10);
    for outcome in refreshed.outcomes.values() {
        assert_eq!(result(outcome), Err(ProblemClass::HostUnavailable));
    }
    hold.empty().await;
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_asked_once_for_all_refs() {
    let (github, token) = world().await;
    github.fault(Matching::any()).respond(Fault::Reset);
    let refs = (0..30)
        .map(|index| git_ref(&format!("r{index}"), "acme/web", &format!("b{index}")))
        .collect();
    let refreshed = refresh(&engine(), lease(vec![group(&github, &token, refs)])).await;
    assert_eq!(refreshed.outcomes.len(), 30);
    assert_eq!(github.requests().len(), 1);
}
