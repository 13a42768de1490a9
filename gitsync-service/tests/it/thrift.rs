//! How little the common flows take. The numbers are those of the table in `tests/bench/README.md`.

use std::{sync::Arc, time::Duration};

use gitsync_service::{schedule::Schedule, worker::BATCH_SIZE};
use proto::sync::{Lease, LeasedRef, Upstream};
use testkit::github::{GitHub, RunState};

use crate::{
    batches::{after, linked, opened},
    support::{engine, git_ref, group, lease, ref_name, refresh, world},
};

const TABLE: &str = include_str!("../../../tests/bench/README.md");

/// Requests and points of a flow, as the table has them.
fn promised(flow: &str) -> (usize, u64) {
    let row = TABLE
        .lines()
        .find_map(|line| line.strip_prefix(&format!("| {flow} | ")));
    let row = row.unwrap_or_else(|| panic!("the table has no row {flow:?}"));
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    (cells[0].parse().unwrap(), cells[1].parse().unwrap())
}

/// What was sent since the requests were forgotten last, and what it cost: points of GraphQL, and
/// one for each REST request.
fn taken(github: &GitHub) -> (usize, u64) {
    let requests = github.requests();
    let points = requests
        .iter()
        .map(|request| request.graphql.as_ref().map_or(1, |query| query.cost));
    (requests.len(), points.sum())
}

fn leased(github: &GitHub, token: &str, refs: &[LeasedRef]) -> Arc<Lease> {
    lease(vec![group(github, token, refs.to_vec())])
}

/// Looks the refs up, and compares what that took with the table.
async fn keeps(flow: &str, github: &GitHub, token: &str, refs: &[LeasedRef]) {
    github.clear_requests();
    let refreshed = refresh(&engine(), leased(github, token, refs)).await;
    assert_eq!(refreshed.outcomes.len(), refs.len(), "{flow}");
    assert_eq!(taken(github), promised(flow), "{flow}");
}

#[tokio::test]
async fn a_first_look_and_an_unchanged_one_take_one_request_each() {
    let (github, token) = world().await;
    let refs = opened(&github, 1);
    keeps("first look", &github, &token, &refs).await;
    let (github, token) = world().await;
    let refs = linked(&github, &token, 1).await;
    keeps("unchanged", &github, &token, &refs).await;
}

/// Who began a thread is remembered, so that it is asked once.
#[tokio::test]
async fn a_first_look_at_unresolved_threads_takes_a_second_request() {
    let (github, token) = world().await;
    let refs = opened(&github, 1);
    github.review_thread("acme/web", 1, false);
    keeps(
        "first look, with unresolved threads",
        &github,
        &token,
        &refs,
    )
    .await;
}

#[tokio::test]
async fn a_fork_whose_pull_request_is_upstream_takes_two_requests() {
    let (github, token) = world().await;
    github.fork("acme/web", "ann");
    github.repository("ann/web").push("feature");
    let pull = github.pull_request("acme/web").from_fork("ann/web");
    pull.head("feature").author("ann").open();
    let git_ref = LeasedRef {
        upstream: Upstream::Unknown,
        ..git_ref("r", "ann/web", "feature")
    };
    keeps("fork with upstream", &github, &token, &[git_ref]).await;
}

#[tokio::test]
async fn a_few_refs_of_every_sort_take_one_request() {
    let (github, token) = world().await;
    let mut refs = linked(&github, &token, 2).await;
    github.merge("acme/web", 2);
    let merged = refresh(&engine(), leased(&github, &token, &refs)).await;
    refs[1] = after(&merged.outcomes["b1"], refs[1].clone());
    refs.push(git_ref("none", "acme/web", "none"));
    let flow = "one open, one without a pull request, one merged";
    keeps(flow, &github, &token, &refs).await;
}

#[tokio::test]
async fn what_merged_meanwhile_takes_two_requests() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 1).await;
    github.merge("acme/web", 1);
    keeps("merged meanwhile", &github, &token, &refs).await;
}

#[tokio::test]
async fn thirty_branches_take_two_requests_without_pull_requests_and_four_with() {
    let (github, token) = world().await;
    let branch = |index: usize| git_ref(&format!("n{index}"), "acme/web", &format!("none-{index}"));
    let refs: Vec<LeasedRef> = (0..30).map(branch).collect();
    keeps("30 branches without a pull request", &github, &token, &refs).await;
    let (github, token) = world().await;
    let refs = opened(&github, 30);
    keeps("30 branches, each with one", &github, &token, &refs).await;
}

#[tokio::test]
async fn sixty_known_ones_of_which_five_changed_take_two_requests() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 60).await;
    keeps("60 known, unchanged", &github, &token, &refs).await;
    for pull in 1..=5 {
        let ended = RunState::Ended(github.now(), "SUCCESS");
        github.check_run("acme/web", pull, (Some("CI"), "build"), ended);
    }
    let flow = "60 known of which the checks of 5 ended";
    keeps(flow, &github, &token, &refs).await;
    // The checks of these go with their heads.
    for index in 0..5 {
        github.repository("acme/web").push(&format!("b{index}"));
    }
    keeps("60 known of which 5 changed", &github, &token, &refs).await;
}

/// At the interval of active ones, by 20 of which the sum of the checks moved since the last look.
/// chat-service hands out as many in a turn, and those that are due soon with those that are due.
#[tokio::test]
async fn two_hundred_running_pull_requests_take_eight_percent_of_an_hours_points() {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let (github, token) = world().await;
    let mut refs = linked(&github, &token, BATCH_SIZE).await;
    for (pull, _) in (1..).zip(&refs) {
        github.check_run("acme/web", pull, (Some("CI"), "build"), RunState::Queued);
    }
    let refreshed = refresh(&engine(), leased(&github, &token, &refs)).await;
    for git_ref in &mut refs {
        *git_ref = after(&refreshed.outcomes[&ref_name(git_ref.id)], git_ref.clone());
    }
    for pull in 1..=20 {
        github.check_run(
            "acme/web",
            pull * 10,
            (Some("CI"), "test"),
            RunState::Queued,
        );
    }
    let flow = "200 known whose checks run, of which those of 20 moved";
    keeps(flow, &github, &token, &refs).await;
    let looks = HOUR.as_secs() / Schedule::DEFAULT.diff_status_ttl.as_secs();
    let points = looks * taken(&github).1;
    assert!(points <= 5_000 * 8 / 100, "{points} points an hour");
}
