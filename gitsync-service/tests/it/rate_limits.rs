//! Budgets that are spent.

use std::time::Duration;

use gitsync_service::{
    lease::{Lane, LeasedRef},
    outcome::{Pause, ProblemClass},
    pace::pause::{RESET_PADDING, RESET_SPREAD},
    refresh::Refresher,
};
use testkit::github::{Fault, GitHub};

use crate::support::{
    Refreshed, git_ref, group, lease, refresh, refresher, rest, result, without_reserve, world,
};

fn one_at_a_time() -> Refresher {
    rest()
        .concurrency(1)
        .pace(without_reserve())
        .build()
        .unwrap()
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

/// For how long the whole budget pauses, since its limit is spent.
fn spent(refreshed: &Refreshed) -> Duration {
    let Some(Pause {
        duration,
        class: ProblemClass::RateLimited,
        from_lane: Lane::Interactive,
    }) = refreshed.pause()
    else {
        panic!("the budget should pause: {:?}", refreshed.budget);
    };
    assert_eq!(refreshed.rest(), None);
    duration
}

/// A pause until a window ends, in so many seconds.
fn is_until(pause: Duration, seconds: u64) -> bool {
    let least = Duration::from_secs(seconds) + RESET_PADDING - Duration::from_secs(10);
    (least..=least + RESET_SPREAD + Duration::from_secs(10)).contains(&pause)
}

#[tokio::test]
async fn the_first_rate_limit_answer_stops_the_rest_and_no_ref_has_an_outcome() {
    let (github, token) = world().await;
    github
        .budget("ann")
        .spend_all()
        .resets_in(Duration::from_secs(600));
    let refreshed = three(&github, &token).await;
    assert_eq!(github.requests().len(), 1);
    assert!(refreshed.outcomes.is_empty());
    let pause = spent(&refreshed);
    assert!(is_until(pause, 600), "{pause:?}");
    let core = refreshed.window("core").unwrap();
    assert!(is_until(core.pause_for.unwrap(), 600), "{core:?}");
    assert_eq!((core.limit, core.remaining), (Some(5000), Some(0)));
    assert_eq!(core.length, Some(Duration::from_secs(3600)));
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
    assert!(spent.outcomes.is_empty());
    assert_eq!(spent.pause().unwrap().class, ProblemClass::RateLimited);
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
    assert!(refreshed.result("1").is_ok());
    assert!(refreshed.result("2").is_ok());
    assert_eq!(refreshed.withheld("3"), ProblemClass::RateLimited);
    assert_eq!(github.requests().len(), 2);
    assert!(refreshed.window("core").unwrap().pause_for.is_some());
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
    assert!(refreshed.outcomes.is_empty());
    spent(&refreshed);
    assert_eq!((github.requests().len(), refused(&github)), (1, 1));
}

#[tokio::test]
async fn what_is_left_of_a_budget_is_used_and_no_refusal_is_earned() {
    let all_of_it = rest().pace(without_reserve()).build().unwrap();
    for left in 1..=12 {
        let (github, token) = world().await;
        github.budget("ann").remaining(left);
        let refreshed = refresh(&all_of_it, lease(vec![group(&github, &token, fifty())])).await;
        // And what had no answer has no outcome.
        assert!(refreshed.outcomes.values().all(|o| result(o).is_ok()));
        assert_eq!(refreshed.outcomes.len(), usize::try_from(left).unwrap());
        assert_eq!(refused(&github), 0, "with {left} left");
    }
}

/// A redirect is an answer, too, and what follows it a request.
#[tokio::test]
async fn no_redirect_is_followed_beyond_what_is_left() {
    let (github, token) = world().await;
    github.rename("acme/web", "acme/app");
    github.budget("ann").remaining(3);
    let refreshed = refresh(&refresher(), lease(vec![group(&github, &token, fifty())])).await;
    assert!(refreshed.outcomes.len() < 50);
    assert_eq!(refused(&github), 0);
}

#[tokio::test]
async fn an_ordinary_refusal_is_no_rate_limit_and_stops_nothing() {
    let (github, token) = world().await;
    github.fault("/pulls$").once().respond(Fault::Forbidden);
    let refreshed = three(&github, &token).await;
    assert_eq!(refreshed.result("1"), Err(ProblemClass::AccessDenied));
    assert!(refreshed.result("2").is_ok() && refreshed.result("3").is_ok());
    assert_eq!(refreshed.pause(), None);
}

#[tokio::test]
async fn a_secondary_limit_is_honoured_with_and_without_retry_after() {
    for status in [403, 429] {
        for (told, expected) in [(None, 60), (Some(120), 120)] {
            let (github, token) = world().await;
            github.fault("/pulls$").respond(Fault::SecondaryLimit {
                status,
                retry_after: told,
            });
            let refreshed = three(&github, &token).await;
            assert_eq!(github.requests().len(), 1, "{status} {told:?}");
            assert!(refreshed.outcomes.is_empty());
            let pause = refreshed.pause().unwrap();
            assert_eq!(pause.class, ProblemClass::SecondaryLimited);
            let least = Duration::from_secs(expected - 5);
            assert!(pause.duration >= least, "{pause:?}");
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
        let pause = spent(&three(&github, &token).await);
        assert!(is_until(pause, 300), "{hours} h: {pause:?}");
    }
}

#[tokio::test]
async fn what_is_left_of_the_budget_is_told() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("a").open();
    let refs = vec![git_ref("r", "acme/web", "a")];
    let refreshed = refresh(&refresher(), lease(vec![group(&github, &token, refs)])).await;
    let core = refreshed.window("core").unwrap();
    assert_eq!((core.limit, core.remaining), (Some(5000), Some(4997)));
    assert!(core.reset_in.is_some() && refreshed.pause().is_none());
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
    assert_eq!(refreshed.withheld("1"), ProblemClass::SecondaryLimited);
}
