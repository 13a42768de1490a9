//! Budgets that are spent.

use std::time::Duration;

use gitsync_service::{
    budget::pause::{RESET_PADDING, RESET_SPREAD},
    worker::{Refresher, RefresherSettings},
};
use proto::sync::{Finding, Lane, LeasedRef, ProblemClass};
use testkit::github::{Fault, GitHub};

use crate::support::{
    Refreshed, git_ref, group, lease, refresh, refresher, rest, without_reserve, world,
};

fn one_at_a_time() -> Refresher {
    let settings = RefresherSettings {
        concurrency: 1,
        budget: without_reserve(),
        ..rest()
    };
    Refresher::new(settings).unwrap()
}

/// Three branches of one user, looked up one at a time.
async fn three(github: &GitHub, token: &str) -> Refreshed {
    let refs = vec![
        git_ref("1", "acme/web", "a"),
        git_ref("2", "acme/web", "b"),
        git_ref("3", "acme/web", "c"),
    ];
    refresh(&one_at_a_time(), lease(vec![group(github, token, refs)])).await
}

/// Which pause of the whole budget keeps these refs from their answers.
#[track_caller]
fn pause(refreshed: &Refreshed, names: &[&str], class: ProblemClass) -> Duration {
    for name in names {
        assert!(refreshed.is_unsent(name), "{name}: {refreshed:?}");
    }
    let pause = refreshed.budget.as_ref().and_then(|budget| budget.pause);
    let pause = pause.unwrap_or_else(|| panic!("there is no pause: {refreshed:?}"));
    assert_eq!((pause.class, pause.from_lane), (class, Lane::Interactive));
    pause.duration
}

/// How many refs were answered.
fn answered(refreshed: &Refreshed) -> usize {
    let answers = refreshed.outcomes.values();
    let failed = |finding: &Finding| matches!(finding, Finding::Failed { .. });
    answers.filter(|outcome| !failed(&outcome.finding)).count()
}

#[tokio::test]
async fn the_first_rate_limit_answer_stops_the_rest_and_pauses_the_budget() {
    let (github, token) = world().await;
    github
        .budget("ann")
        .spend_all()
        .resets_in(Duration::from_secs(600));
    let refreshed = three(&github, &token).await;
    assert_eq!(github.requests().len(), 1);
    let pause = pause(&refreshed, &["1", "2", "3"], ProblemClass::RateLimited);
    let least = Duration::from_secs(590) + RESET_PADDING;
    let most = Duration::from_secs(600) + RESET_PADDING + RESET_SPREAD;
    assert!((least..=most).contains(&pause), "{pause:?}");
    let window = refreshed.window("core");
    assert!(window.pause_for.unwrap().abs_diff(pause) < Duration::from_secs(1));
    assert_eq!((window.limit, window.remaining), (Some(5000), Some(0)));
}

#[tokio::test]
async fn a_rate_limit_stops_all_groups_of_its_lease_and_no_other_lease() {
    let (github, token) = world().await;
    let bob = github.user("bob");
    github.repository("acme/web").grant(&bob);
    github.pull_request("acme/web").head("a").open();
    github.budget("ann").spend_all();
    let second_token = github.user("ann").token();
    let refresher = one_at_a_time();
    let spent = lease(vec![
        group(&github, &token, vec![git_ref("1", "acme/web", "a")]),
        group(&github, &second_token, vec![git_ref("2", "acme/web", "b")]),
    ]);
    let other = lease(vec![group(
        &github,
        &bob.token(),
        vec![git_ref("other", "acme/web", "a")],
    )]);
    let (spent, other) = tokio::join!(refresh(&refresher, spent), refresh(&refresher, other));
    pause(&spent, &["1", "2"], ProblemClass::RateLimited);
    assert_eq!(other.found("other").shown.number, 1);
    let limited = github.requests();
    let limited = limited
        .iter()
        .filter(|request| request.status == Some(403) || request.status == Some(429));
    assert_eq!(limited.count(), 1);
}

#[tokio::test]
async fn the_last_request_of_a_window_is_used_and_none_is_sent_after_it() {
    let (github, token) = world().await;
    github.budget("ann").remaining(2);
    let refreshed = three(&github, &token).await;
    assert_eq!(answered(&refreshed), 2);
    pause(&refreshed, &["3"], ProblemClass::RateLimited);
    assert_eq!(github.requests().len(), 2);
    assert!(refreshed.window("core").pause_for.is_some());
}

fn fifty() -> Vec<LeasedRef> {
    (0..50)
        .map(|number| git_ref(&format!("b{number}"), "acme/web", &format!("b{number}")))
        .collect()
}

fn refused(github: &GitHub) -> usize {
    let limited = |status| status == Some(403) || status == Some(429);
    let requests = github.requests();
    requests.iter().filter(|r| limited(r.status)).count()
}

/// Promise 7, with as many requests at once as there can be.
#[tokio::test]
async fn a_spent_budget_gets_one_refusal_however_many_refs_are_due() {
    let (github, token) = world().await;
    github.budget("ann").spend_all();
    let refreshed = refresh(&refresher(), lease(vec![group(&github, &token, fifty())])).await;
    pause(&refreshed, &["b0", "b49"], ProblemClass::RateLimited);
    assert!(refreshed.outcomes.is_empty());
    assert_eq!((github.requests().len(), refused(&github)), (1, 1));
}

#[tokio::test]
async fn what_is_left_of_a_budget_is_used_and_no_refusal_is_earned() {
    let all_of_it = Refresher::new(RefresherSettings {
        budget: without_reserve(),
        ..rest()
    })
    .unwrap();
    for left in 1..=12 {
        let (github, token) = world().await;
        github.budget("ann").remaining(left);
        let refreshed = refresh(&all_of_it, lease(vec![group(&github, &token, fifty())])).await;
        assert_eq!(answered(&refreshed), usize::try_from(left).unwrap());
        assert_eq!(refused(&github), 0, "with {left} left");
    }
}

/// A redirect is an answer, too, and what follows it a request.
#[tokio::test]
async fn no_redirect_is_followed_beyond_what_is_left() {
    let (github, token) = world().await;
    github.rename("acme/web", "acme/app");
    github.budget("ann").remaining(3);
    refresh(&refresher(), lease(vec![group(&github, &token, fifty())])).await;
    assert_eq!(refused(&github), 0);
}

#[tokio::test]
async fn an_ordinary_refusal_is_no_rate_limit_and_stops_no_other_repository() {
    let (github, token) = world().await;
    github.repository("acme/api").grant(&github.user("ann"));
    github.fault("/pulls$").once().respond(Fault::Forbidden);
    let refs = vec![
        git_ref("refused", "acme/web", "a"),
        git_ref("same", "acme/web", "b"),
        git_ref("other", "acme/api", "c"),
    ];
    let refreshed = refresh(&one_at_a_time(), lease(vec![group(&github, &token, refs)])).await;
    for name in ["refused", "same"] {
        assert_eq!(refreshed.class(name), ProblemClass::AccessDenied);
    }
    assert_eq!(*refreshed.finding("other"), Finding::NoPullRequest);
    assert_eq!(refreshed.budget.unwrap().pause, None);
}

#[tokio::test]
async fn a_secondary_limit_is_honoured_with_and_without_retry_after() {
    for status in [403, 429] {
        for (retry_after, expected) in [(None, 60), (Some(120), 120)] {
            let (github, token) = world().await;
            github.fault("/pulls$").respond(Fault::SecondaryLimit {
                status,
                retry_after,
            });
            let refreshed = three(&github, &token).await;
            assert_eq!(github.requests().len(), 1, "{status} {retry_after:?}");
            let pause = pause(&refreshed, &["3"], ProblemClass::SecondaryLimited);
            assert!(pause >= Duration::from_secs(expected - 5), "{pause:?}");
            assert_eq!(refreshed.budget.unwrap().secondary_refusals, 1);
        }
    }
}

#[tokio::test]
async fn the_reset_is_read_by_the_hosts_clock_and_not_by_ours() {
    for hours in [-5, 5] {
        let (github, token) = world().await;
        github.set_clock_skew(jiff::SignedDuration::from_hours(hours));
        github
            .budget("ann")
            .spend_all()
            .resets_in(Duration::from_secs(300));
        let refreshed = three(&github, &token).await;
        let reset_in = refreshed.window("core").reset_in.unwrap();
        assert!(
            reset_in <= Duration::from_secs(300) && reset_in >= Duration::from_secs(290),
            "{hours} h: {reset_in:?}"
        );
        let pause = pause(&refreshed, &["1"], ProblemClass::RateLimited);
        assert!(pause >= reset_in && pause <= reset_in + RESET_PADDING + RESET_SPREAD);
    }
}

#[tokio::test]
async fn the_remaining_budget_is_reported() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("a").open();
    let refs = vec![git_ref("r", "acme/web", "a")];
    let refreshed = refresh(&refresher(), lease(vec![group(&github, &token, refs)])).await;
    let window = refreshed.window("core");
    assert_eq!((window.limit, window.remaining), (Some(5000), Some(4995)));
    assert_eq!(window.length, Some(Duration::from_secs(3600)));
    assert!(window.reset_in.is_some() && window.pause_for.is_none());
    let budget = refreshed.budget.unwrap();
    assert_eq!((budget.pause, budget.rest), (None, None));
}

#[tokio::test]
async fn a_limit_is_read_at_the_beginning_of_a_refusal_however_long_it_is() {
    let (github, token) = world().await;
    github.fault("/pulls$").respond(Fault::Answer {
        status: 403,
        headers: Vec::new(),
        body: format!(
            "You have triggered an abuse detection mechanism.{}",
            " ".repeat(100_000)
        ),
    });
    let refreshed = three(&github, &token).await;
    let pause = pause(&refreshed, &["1"], ProblemClass::SecondaryLimited);
    assert!(pause >= Duration::from_secs(55), "{pause:?}");
}
