//! Hosts that tell no limit: how many requests a budget key sends to them all the same.

use std::{sync::Arc, time::Duration};

use gitsync_service::{
    budget,
    worker::{Refresher, RefresherSettings},
};
use proto::sync::{Finding, Lane, Lease, LeasedRef};
use testkit::github::GitHub;

use crate::support::{git_ref, group, lease, lease_of, refresh, refresh_until, rest, world};

const CEILING: u32 = 6;
/// Far less than until one more request may be sent.
const ATTEMPT: Duration = Duration::from_secs(1);

fn with_ceiling(settings: RefresherSettings) -> Refresher {
    let budget = budget::Settings {
        local_ceiling: CEILING,
        ..budget::Settings::default()
    };
    Refresher::new(RefresherSettings { budget, ..settings }).unwrap()
}

/// More refs than requests may be sent; none has a pull request.
fn refs() -> Vec<LeasedRef> {
    let branches = (0..40).map(|number| format!("b{number}"));
    branches
        .map(|branch| git_ref(&branch, "acme/web", &branch))
        .collect()
}

fn leased(github: &GitHub, token: &str, refs: Vec<LeasedRef>) -> Arc<Lease> {
    lease(vec![group(github, token, refs)])
}

async fn unlimited() -> (GitHub, String) {
    let (github, token) = world().await;
    github.set_rate_limits(false);
    (github, token)
}

#[tokio::test]
async fn where_the_host_tells_no_limit_a_budget_has_one_of_ours_over_all_its_leases() {
    let (github, token) = unlimited().await;
    let refresher = with_ceiling(rest());
    let first = leased(&github, &token, refs());
    let refreshed = refresh_until(&refresher, first, ATTEMPT).await;
    // What had no turn is left, and nothing fails.
    assert_eq!(refreshed.outcomes.len(), 6);
    assert!(
        refreshed
            .outcomes
            .values()
            .all(|seen| seen.finding == Finding::NoPullRequest)
    );
    assert_eq!(github.requests().len(), 6);

    let next = leased(&github, &token, refs());
    let refreshed = refresh_until(&refresher, next, ATTEMPT).await;
    assert!(refreshed.outcomes.is_empty());
    assert_eq!(github.requests().len(), 6);

    let other = lease_of("other", vec![group(&github, &token, refs())]);
    refresh_until(&refresher, other, ATTEMPT).await;
    assert_eq!(github.requests().len(), 12);
}

#[tokio::test]
async fn the_ceiling_is_one_for_both_interfaces() {
    let (github, token) = unlimited().await;
    let refresher = with_ceiling(RefresherSettings::default());
    for _ in 0..4 {
        let lease = leased(&github, &token, refs());
        refresh_until(&refresher, lease, ATTEMPT).await;
    }
    assert_eq!(github.requests().len(), 6);
    // The host has no GraphQL any more, and still no limit.
    github.set_graphql(false);
    let lease = leased(&github, &token, refs());
    refresh_until(&refresher, lease, ATTEMPT).await;
    assert_eq!(github.requests().len(), 6);
}

#[tokio::test]
async fn what_was_begun_below_the_ceiling_is_brought_to_its_end() {
    let (github, token) = unlimited().await;
    for git_ref in refs() {
        github.pull_request("acme/web").head(&git_ref.branch).open();
    }
    let lease = leased(&github, &token, refs());
    let refreshed = refresh_until(&with_ceiling(rest()), lease, ATTEMPT).await;
    assert!((1..=6).contains(&refreshed.outcomes.len()));
    for id in refreshed.outcomes.keys() {
        refreshed.found(id);
    }
}

#[tokio::test]
async fn somebody_who_waits_is_not_made_to_wait_longer() {
    let (github, token) = unlimited().await;
    let mut refs = refs();
    refs.iter_mut()
        .for_each(|git_ref| git_ref.lane = Lane::Interactive);
    let lease = leased(&github, &token, refs);
    let refreshed = refresh(&with_ceiling(rest()), lease).await;
    assert_eq!(refreshed.outcomes.len(), 40);
}

#[tokio::test]
async fn a_host_that_tells_its_limit_has_none_of_ours() {
    let (github, token) = world().await;
    let lease = leased(&github, &token, refs());
    let refreshed = refresh(&with_ceiling(rest()), lease).await;
    assert_eq!(refreshed.outcomes.len(), 40);
}
