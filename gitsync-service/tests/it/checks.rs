//! Checks, mergeability and reviews as only GraphQL tells them, and what it takes to hear of them.

use std::{sync::Arc, time::Duration};

use proto::sync::{
    CheckState, Checks, Finding, Lane, Lease, LeasedRef, MergeBlocker, MergeState, PullRequest,
    ReviewDecision,
};
use testkit::github::{Fault, GitHub, Matching, Overload, ReviewState, RunState};

use crate::{
    batches::{after, linked, operations},
    support::{Refreshed, engine, git_ref, group, lease, patient, ref_name, refresh, world},
};

const WEB: &str = "acme/web";

fn leased(github: &GitHub, token: &str, refs: &[LeasedRef]) -> Arc<Lease> {
    lease(vec![group(github, token, refs.to_vec())])
}

async fn looked_up(github: &GitHub, token: &str, refs: &[LeasedRef]) -> Refreshed {
    refresh(&engine(), leased(github, token, refs)).await
}

/// The one pull request that `change` made of an open one.
async fn found(change: impl FnOnce(&GitHub, u64)) -> PullRequest {
    let (github, token) = world().await;
    let pull = github.pull_request(WEB).head("feature").open();
    change(&github, pull);
    let refs = [git_ref("r", WEB, "feature")];
    let refreshed = looked_up(&github, &token, &refs).await;
    assert_eq!(
        operations(&github),
        ["Discover"],
        "one request tells it all"
    );
    refreshed.found("r").shown.clone()
}

fn checks(shown: &PullRequest) -> &Checks {
    shown.head.checks.as_ref().unwrap()
}

/// How many threads are not resolved, and how many of them a bot began.
fn threads(shown: &PullRequest) -> (Option<u32>, Option<u32>) {
    let progress = &shown.progress;
    (progress.unresolved_threads, progress.unresolved_bot_threads)
}

fn ended(conclusion: &'static str) -> RunState {
    RunState::Ended("2026-08-01T01:00:00Z".parse().unwrap(), conclusion)
}

#[tokio::test]
async fn runs_of_one_name_in_two_workflows_are_two_checks() {
    let shown = found(|github, pull| {
        github.check_run(WEB, pull, (Some("CI"), "build"), ended("FAILURE"));
        github.check_run(WEB, pull, (Some("Nightly"), "build"), ended("SUCCESS"));
    })
    .await;
    let checks = checks(&shown);
    assert_eq!((checks.state, checks.total), (CheckState::Failing, 2));
    let url = checks.failed_checks[0].url.as_deref().unwrap();
    assert!(
        url.starts_with("https://github.com/acme/web/runs/"),
        "{url}"
    );
}

#[tokio::test]
async fn a_required_check_is_known_as_one_and_is_pending_until_it_reports() {
    let shown = found(|github, pull| {
        github
            .repository(WEB)
            .protect_with("build")
            .protect_with("deploy");
        github.check_run(WEB, pull, (Some("CI"), "build"), ended("FAILURE"));
        github.check_run(WEB, pull, (Some("CI"), "advice"), ended("FAILURE"));
    })
    .await;
    let checks = checks(&shown);
    assert_eq!((checks.failed, checks.pending), (2, 1));
    let failed = checks.failed_checks.iter();
    let failed: Vec<_> = failed
        .map(|check| (check.name.as_str(), check.required))
        .collect();
    assert_eq!(failed, [("build", true), ("advice", false)]);
    assert_eq!(shown.merge_blockers(), [MergeBlocker::ChecksFailing]);

    // A ruleset's is shown by the host as one that it expects.
    let shown = found(|github, _| {
        github.repository(WEB).require_check("deploy");
    })
    .await;
    assert_eq!(self::checks(&shown).state, CheckState::Pending);
    assert_eq!(shown.merge_blockers(), [MergeBlocker::ChecksPending]);
}

#[tokio::test]
async fn of_more_than_a_hundred_checks_a_lower_bound_is_shown_and_never_green() {
    let shown = found(|github, pull| {
        for index in 0..100 {
            let name = format!("shard {index}");
            github.check_run(WEB, pull, (Some("CI"), &name), ended("SUCCESS"));
        }
        github.check_run(WEB, pull, (Some("CI"), "last"), RunState::Queued);
    })
    .await;
    let checks = checks(&shown);
    assert_eq!(
        (checks.state, checks.total, checks.at_least),
        (CheckState::Pending, 100, true)
    );
}

#[tokio::test]
async fn the_review_decision_and_the_merge_queue_are_reported() {
    let shown = found(|github, pull| {
        github.repository(WEB).require_reviews();
        github.review(WEB, pull, "bob", ReviewState::ChangesRequested);
        github.edit_pull_request(WEB, pull, |pull| {
            (pull.in_merge_queue, pull.queue_position) = (true, 3);
        });
    })
    .await;
    let progress = &shown.progress;
    assert_eq!(
        progress.review_decision,
        Some(ReviewDecision::ChangesRequested)
    );
    assert_eq!(progress.queue_position, Some(3));
    let blockers = [MergeBlocker::ChangesRequested, MergeBlocker::InQueue];
    assert_eq!(shown.merge_blockers(), blockers);

    let shown = found(|github, pull| {
        for _ in 0..4 {
            github.review_thread(WEB, pull, true);
        }
    })
    .await;
    let progress = &shown.progress;
    assert_eq!(progress.review_decision, Some(ReviewDecision::NotRequired));
    assert_eq!(threads(&shown), (Some(0), Some(0)), "all are resolved");
    assert_eq!(progress.queue_position, Some(0));
    assert!(shown.is_ready_to_merge());
}

#[tokio::test]
async fn threads_are_counted_after_the_merge_as_well() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 1).await;
    for resolved in [true, false, false] {
        github.review_thread(WEB, 1, resolved);
    }
    github.merge(WEB, 1);
    let merged = looked_up(&github, &token, &refs).await;
    assert_eq!(threads(&merged.found("b0").shown), (Some(2), Some(0)));
}

/// As a connection of each thread, who began it would cost a point for each pull request.
#[tokio::test]
async fn threads_that_bots_began_are_counted_apart_and_each_thread_is_asked_about_once() {
    let (github, token) = world().await;
    let pull = github.pull_request(WEB).head("feature").open();
    for resolved in [true, false] {
        github.review_thread(WEB, pull, resolved);
        github.bot_thread(WEB, pull, resolved);
    }
    github.bot_thread(WEB, pull, false);
    let refs = [git_ref("r", WEB, "feature")];
    let engine = engine();
    let look = async || refresh(&engine, leased(&github, &token, &refs)).await;
    let asked = || {
        let requests = github.requests().into_iter();
        let queries = requests.map(|request| request.graphql.unwrap());
        let asked = queries.map(|query| (query.operation.unwrap(), query.ids, query.cost));
        let asked: Vec<(String, usize, u64)> = asked.collect();
        github.clear_requests();
        asked
    };
    let discover = ("Discover".to_owned(), 0, 1);
    let about = |ids| ("Threads".to_owned(), ids, 1);
    let shown = look().await.found("r").shown.clone();
    assert_eq!(threads(&shown), (Some(3), Some(2)));
    assert_eq!(asked(), [discover.clone(), about(3)]);

    let again = look().await.found("r").shown.clone();
    assert_eq!(threads(&again), (Some(3), Some(2)));
    assert_eq!(asked(), std::slice::from_ref(&discover));

    github.bot_thread(WEB, pull, false);
    let more = look().await.found("r").shown.clone();
    assert_eq!(threads(&more), (Some(4), Some(3)));
    assert_eq!(asked(), [discover, about(1)]);
}

#[tokio::test]
async fn threads_of_which_the_host_does_not_say_who_began_them_are_counted_all_the_same() {
    for fault in [
        Fault::Status(502),
        Fault::Overloaded(Overload::NoTime),
        Fault::HalfBody,
    ] {
        let (github, token) = world().await;
        let pull = github.pull_request(WEB).head("feature").open();
        github.bot_thread(WEB, pull, false);
        let of_threads = Matching::graphql().operation("Threads");
        github.fault(of_threads).respond(fault.clone());
        let refs = [git_ref("r", WEB, "feature")];
        let refreshed = looked_up(&github, &token, &refs).await;
        let shown = &refreshed.found("r").shown;
        assert_eq!(threads(shown), (Some(1), None), "{fault:?}");
        assert_eq!(operations(&github), ["Discover", "Threads"], "{fault:?}");
    }
}

/// Fifty pull requests, so that it is asked first what changed.
#[tokio::test]
async fn a_check_that_begins_or_ends_is_news_though_nothing_else_moves() {
    let (github, token) = world().await;
    let mut refs = linked(&github, &token, 50).await;
    let run = github.check_run(WEB, 8, (Some("CI"), "build"), RunState::Queued);
    for state in [CheckState::Pending, CheckState::Failing] {
        let refreshed = looked_up(&github, &token, &refs).await;
        assert_eq!(operations(&github), ["Probe", "Detail"], "{state:?}");
        let asked = github.requests()[1].graphql.clone().unwrap();
        assert_eq!((asked.ids, asked.cost), (1, 1), "{state:?}");
        assert_eq!(checks(&refreshed.found("b7").shown).state, state);
        assert_eq!(*refreshed.finding("b8"), Finding::Unchanged);
        refs[7] = after(&refreshed.outcomes["b7"], refs[7].clone());
        github.end_check_run(WEB, 8, run, "FAILURE");
        github.clear_requests();
    }
    looked_up(&github, &token, &refs).await;
    assert_eq!(operations(&github), ["Probe"], "and then it is known");
}

#[tokio::test]
async fn a_place_in_the_queue_is_news() {
    let (github, token) = world().await;
    let mut refs = linked(&github, &token, 50).await;
    github.edit_pull_request(WEB, 8, |pull| pull.in_merge_queue = true);
    let refreshed = looked_up(&github, &token, &refs).await;
    assert_eq!(refreshed.found("b7").shown.progress.queue_position, Some(1));
    refs[7] = after(&refreshed.outcomes["b7"], refs[7].clone());
    let refreshed = looked_up(&github, &token, &refs).await;
    assert_eq!(*refreshed.finding("b7"), Finding::Unchanged);
}

#[tokio::test]
async fn what_the_host_had_not_worked_out_is_asked_for_again_though_nothing_moves() {
    let (github, token) = world().await;
    let mut refs = linked(&github, &token, 50).await;
    github.forget_mergeability(WEB, 8, 1);
    github.repository(WEB).push("b7");
    let refreshed = looked_up(&github, &token, &refs).await;
    let shown = &refreshed.found("b7").shown;
    assert_eq!(shown.head.merge_state, Some(MergeState::Unknown));
    assert!(shown.merge_blockers().is_empty(), "it is no \"no\"");
    let next = &refreshed.outcomes["b7"].next;
    assert_eq!(
        (next.refresh_in, next.lane),
        (Some(Duration::from_secs(5)), Lane::Active)
    );

    refs[7] = after(&refreshed.outcomes["b7"], refs[7].clone());
    refs[7].since_changed = Duration::from_secs(5);
    let refreshed = looked_up(&github, &token, &refs).await;
    let shown = &refreshed.found("b7").shown;
    assert_eq!(shown.head.merge_state, Some(MergeState::Clean));
    assert_eq!(*refreshed.finding("b8"), Finding::Unchanged);
}

/// The host works it out once it is asked for.
#[tokio::test]
async fn nothing_is_worked_out_for_what_did_not_change() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 50).await;
    github.edit_pull_request(WEB, 1, |pull| pull.draft = true);
    looked_up(&github, &token, &refs).await;
    let queries = github
        .requests()
        .into_iter()
        .map(|request| request.graphql.unwrap());
    let asked: Vec<(String, usize)> = queries
        .map(|query| (query.operation.unwrap(), query.ids))
        .collect();
    assert_eq!(asked, [("Probe".to_owned(), 50), ("Detail".to_owned(), 1)]);
}

#[tokio::test]
async fn a_repository_whose_checks_are_too_heavy_is_probed_without_them_and_that_is_remembered() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 50).await;
    github.set_weight_limit(None, Overload::BadGateway);
    github.set_heavy_checks(WEB, true);
    let engine = gitsync_service::worker::Refresher::new(patient(Duration::ZERO)).unwrap();
    let look = async || refresh(&engine, leased(&github, &token, &refs)).await;
    let refreshed = look().await;
    for git_ref in &refs {
        let name = ref_name(git_ref.id);
        assert_eq!(*refreshed.finding(&name), Finding::Unchanged, "{name}");
    }
    github.clear_requests();
    let refreshed = look().await;
    assert_eq!(*refreshed.finding("b7"), Finding::Unchanged);
    assert_eq!(operations(&github), ["Probe"], "it is remembered");

    // What changed is asked for over REST, which has the checks in pages.
    github.check_run(WEB, 8, (Some("CI"), "build"), ended("FAILURE"));
    github.repository(WEB).push("b9");
    github.check_run(WEB, 10, (Some("CI"), "build"), ended("FAILURE"));
    let refreshed = look().await;
    let shown = &refreshed.found("b9").shown;
    assert_eq!(checks(shown).state, CheckState::Failing);
}

#[tokio::test]
async fn a_host_that_lacks_a_field_is_asked_without_it_and_what_is_known_stays() {
    let (github, token) = world().await;
    github.pull_request(WEB).head("feature").open();
    for field in ["statusCheckRollup", "mergeQueueEntry", "reviewThreads"] {
        github.hide_field("PullRequest", field);
    }
    let refs = [git_ref("r", WEB, "feature")];
    let refreshed = looked_up(&github, &token, &refs).await;
    let shown = &refreshed.found("r").shown;
    assert_eq!(shown.head.checks, None);
    assert_eq!(shown.head.merge_state, Some(MergeState::Clean));
    let progress = &shown.progress;
    assert_eq!(
        (progress.queue_position, progress.unresolved_threads),
        (None, None)
    );
    assert_eq!(progress.auto_merge, Some(false));
}
