//! Hosts that fail: what several accounts meet is the host's, and what one meets is its own.

use std::time::Duration;

use gitsync_service::worker::Refresher;
use proto::sync::{Finding, Lane, ProblemClass};
use testkit::github::{Fault, GitHub, Matching};

use crate::support::{
    Refreshed, engine, git_ref, group, lease, lease_of, refresh, refresh_until, world,
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
async fn a_host_that_fails_three_accounts_is_asked_no_more_for_a_moment() {
    let (github, _) = world().await;
    let refresher = engine();
    github.fault(Matching::any()).respond(Fault::Status(503));
    let refreshed = each(&github, &refresher, &LOGINS).await;
    for refreshed in &refreshed[..3] {
        assert_eq!(refreshed.class("r"), ProblemClass::HostUnavailable);
    }
    assert!(refreshed[3].is_unsent("r"));
    let rest = refreshed[3].budget.as_ref().unwrap().rest.unwrap();
    assert_eq!(rest.class, ProblemClass::HostUnavailable);
    assert_eq!(rest.from_lane, Lane::Interactive);
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
    for refreshed in &refreshed[2..] {
        assert_eq!(*refreshed.finding("r"), Finding::NoPullRequest);
    }
}

#[tokio::test]
async fn a_host_that_slows_three_accounts_down_is_asked_for_no_other_for_a_while() {
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
        assert!(refreshed.is_unsent("r"));
    }
    for refreshed in &refreshed[..3] {
        let pause = refreshed.budget.as_ref().unwrap().pause.unwrap();
        assert_eq!(pause.class, ProblemClass::SecondaryLimited);
    }
    let rest = refreshed[3].budget.as_ref().unwrap().rest.unwrap();
    assert_eq!(rest.class, ProblemClass::SecondaryLimited);
    assert_eq!(github.count(Matching::any().by("dora")), 0);
}

#[tokio::test]
async fn at_the_deadline_what_was_asked_fails_and_what_was_not_stays_due() {
    let (github, token) = world().await;
    let hold = github.hold(Matching::graphql());
    let refs = (0..30)
        .map(|index| git_ref(&format!("r{index}"), "acme/web", &format!("b{index}")))
        .collect();
    let lease = lease(vec![group(&github, &token, refs)]);
    let refreshed = refresh_until(&engine(), lease, Duration::from_millis(300)).await;
    // A request is of ten branches.
    assert_eq!(refreshed.outcomes.len(), 10);
    for name in refreshed.outcomes.keys() {
        assert_eq!(refreshed.class(name), ProblemClass::HostUnavailable);
    }
    hold.empty().await;
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_asked_once_and_what_was_not_asked_stays_due() {
    let (github, token) = world().await;
    github.fault(Matching::any()).respond(Fault::Reset);
    let refs = (0..30)
        .map(|index| git_ref(&format!("r{index}"), "acme/web", &format!("b{index}")))
        .collect();
    let refreshed = refresh(&engine(), lease(vec![group(&github, &token, refs)])).await;
    assert_eq!(refreshed.outcomes.len(), 10);
    for name in refreshed.outcomes.keys() {
        assert_eq!(refreshed.class(name), ProblemClass::HostUnavailable);
    }
    let rest = refreshed.budget.unwrap().rest.unwrap();
    assert_eq!(rest.class, ProblemClass::HostUnavailable);
    assert_eq!(github.requests().len(), 1);
}
