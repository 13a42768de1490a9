//! Hosts that tell no limit: how many requests a budget key sends to them all the same.

use std::{sync::Arc, time::Duration};

use gitsync_service::{
    budget,
    worker::{Refresher, RefresherSettings},
};
use proto::sync::{BudgetView, Finding, Lane, Lease, LeasedRef};
use testkit::github::GitHub;

use crate::support::{
    git_ref, group, lease, lease_of, lease_with, refresh, refresh_until, rest, world,
};

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
async fn interactive_requests_are_not_held_back() {
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

/// Where it lets fewer refs through than are due, they would be leased again and again.
#[tokio::test]
async fn where_the_host_tells_no_limit_intervals_grow_by_what_the_ceiling_lets_through() {
    let (github, token) = unlimited().await;
    let refresher = with_ceiling(rest());
    let mut refreshed = Vec::new();
    // The first answer finds out that there is no limit; by our own, REST takes four for a ref.
    for demand in [0.0, 0.0, 0.2] {
        let groups = vec![group(&github, &token, vec![refs().remove(0)])];
        let budget = BudgetView {
            account_known: true,
            demand,
            ..BudgetView::default()
        };
        let lease = lease_with("key", groups, budget);
        refreshed.push(refresh(&refresher, lease).await.next("b0").unwrap());
    }
    assert_eq!(refreshed[0], refreshed[1]);
    // 0.8 requests a second are due, and 0.1 may be sent.
    let error = refreshed[2].abs_diff(refreshed[0] * 8);
    assert!(error < Duration::from_millis(1), "{refreshed:?}");
}
