//! Limits that only GraphQL's answers tell of, for want of headers.

use std::time::Duration;

use gitsync_service::budget::pause::{RESET_PADDING, RESET_SPREAD};
use jiff::SignedDuration;
use proto::sync::{BudgetView, Finding, Lane, LeasedRef, Pause, ProblemClass, Window};
use testkit::github::{BudgetHandle, Fault, GitHub, Matching, Resource};

use crate::{
    batches::operations,
    support::{Refreshed, engine, git_ref, group, lease_with, refresh, world},
};

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);
const FIVE_SECONDS: Duration = Duration::from_secs(5);

/// A world whose host shows no header on limits. Its window ends in half an hour.
async fn headless() -> (GitHub, String) {
    let (github, token) = world().await;
    github.set_limit_headers(false);
    limit(&github).resets_in(HALF_AN_HOUR);
    (github, token)
}

fn limit(github: &GitHub) -> BudgetHandle {
    github.budget_of("ann", Resource::Graphql)
}

/// More than one request may ask for, in this lane.
fn refs(lane: Lane) -> Vec<LeasedRef> {
    let branches = (0..25).map(|number| format!("b{number}"));
    branches
        .map(|branch| LeasedRef {
            lane,
            ..git_ref(&branch, "acme/web", &branch)
        })
        .collect()
}

async fn ask(github: &GitHub, token: &str, lane: Lane, budget: BudgetView) -> Refreshed {
    let groups = vec![group(github, token, refs(lane))];
    refresh(&engine(), lease_with("key", groups, budget)).await
}

/// Until when idle refs are not asked for again, of which `name` is one.
fn withheld(refreshed: &Refreshed, name: &str) -> Duration {
    assert!(refreshed.is_unsent(name), "{refreshed:?}");
    let rest = refreshed.budget.as_ref().and_then(|budget| budget.rest);
    let Some(Pause {
        duration,
        class: ProblemClass::RateLimited | ProblemClass::LimitReserved,
        from_lane: Lane::Idle,
    }) = rest
    else {
        panic!("{name} should be withheld, but: {refreshed:?}");
    };
    duration
}

fn of_graphql(window: &Window) -> BudgetView {
    BudgetView {
        windows: vec![Window {
            name: "graphql".to_owned(),
            ..window.clone()
        }],
        ..BudgetView::default()
    }
}

fn is_answered(refreshed: &Refreshed, name: &str) -> bool {
    *refreshed.finding(name) == Finding::NoPullRequest
}

fn is_half_an_hour(shown: Option<Duration>) -> bool {
    shown.is_some_and(|shown| shown <= HALF_AN_HOUR && shown >= HALF_AN_HOUR - FIVE_SECONDS)
}

/// With what is added to a reset.
fn is_a_minute(shown: Duration) -> bool {
    let minute = Duration::from_secs(60);
    shown > minute - FIVE_SECONDS && shown <= minute + RESET_PADDING + RESET_SPREAD
}

#[tokio::test]
async fn what_is_left_is_known_from_the_answer_itself_by_the_hosts_clock() {
    for hours in [-3, 0, 3] {
        let (github, token) = headless().await;
        github.set_clock_skew(SignedDuration::from_hours(hours));
        limit(&github).remaining(4000).resets_in(HALF_AN_HOUR);
        let refreshed = ask(&github, &token, Lane::Idle, BudgetView::default()).await;
        assert_eq!(refreshed.outcomes.len(), 25);
        let seen = refreshed.window("graphql");
        assert_eq!((seen.limit, seen.remaining), (Some(5000), Some(3998)));
        assert!(is_half_an_hour(seen.reset_in), "{hours} h: {seen:?}");
        assert_eq!(seen.pause_for, None);
    }
}

#[tokio::test]
async fn the_reserve_is_kept_of_a_limit_without_headers() {
    let (github, token) = headless().await;
    limit(&github).remaining(2001);
    let refreshed = ask(&github, &token, Lane::Idle, BudgetView::default()).await;
    assert!(is_answered(&refreshed, "b9"));
    let withheld = withheld(&refreshed, "b24");
    let most = HALF_AN_HOUR + RESET_PADDING + RESET_SPREAD;
    assert!(withheld > HALF_AN_HOUR - FIVE_SECONDS && withheld <= most);
    assert_eq!(operations(&github), ["Discover"]);
}

#[tokio::test]
async fn the_last_point_is_used_and_nothing_is_asked_until_the_window_ends() {
    let (github, token) = headless().await;
    limit(&github).remaining(1);
    let refreshed = ask(&github, &token, Lane::Idle, BudgetView::default()).await;
    assert!(is_answered(&refreshed, "b9"));
    let withheld = withheld(&refreshed, "b24");
    assert_eq!(operations(&github), ["Discover"]);
    let pause = refreshed.window("graphql").pause_for.unwrap();
    assert!(withheld.abs_diff(pause) < FIVE_SECONDS, "{withheld:?}");
    let least = HALF_AN_HOUR + RESET_PADDING - FIVE_SECONDS;
    assert!(pause >= least && pause <= least + RESET_SPREAD + FIVE_SECONDS);
}

/// Promise 7: the refusal itself does not say when the window ends.
#[tokio::test]
async fn a_refusal_lasts_until_the_end_of_the_window_of_an_earlier_response() {
    let (github, token) = headless().await;
    limit(&github).spend_all();
    let known = of_graphql(&Window {
        limit: Some(5000),
        remaining: Some(4000),
        reset_in: Some(HALF_AN_HOUR),
        ..Window::default()
    });
    let refreshed = ask(&github, &token, Lane::Idle, known).await;
    assert!(withheld(&refreshed, "b0") > HALF_AN_HOUR);
    assert!(refreshed.window("graphql").pause_for.unwrap() > HALF_AN_HOUR);
    assert_eq!(github.requests().len(), 1);

    // No response described a window yet.
    let refreshed = ask(&github, &token, Lane::Idle, BudgetView::default()).await;
    assert!(is_a_minute(withheld(&refreshed, "b0")));
}

/// Answers all queries, of which every branch has no pull request, with these headers and body on
/// limits.
fn always(github: &GitHub, headers: &[(&str, &str)], body: &str) {
    const NO_ACCOUNT: &str = r#"{"nameWithOwner":"acme/web","isFork":false,"parent":null,"head":null,
        "open":{"nodes":[]}}"#;
    let aliases: Vec<_> = (0..25).map(|n| format!(r#""r{n}":{NO_ACCOUNT}"#)).collect();
    let owned = |(name, value): &(&str, &str)| (format!("x-ratelimit-{name}"), value.to_string());
    github.fault(Matching::graphql()).respond(Fault::Answer {
        status: 200,
        headers: headers.iter().map(owned).collect(),
        body: format!(r#"{{"data":{{"rateLimit":{body},{}}}}}"#, aliases.join(",")),
    });
}

/// chat-service refuses a report that tells of less than nothing.
#[tokio::test]
async fn a_negative_limit_is_reported_as_no_limit() {
    let in_headers = [("limit", "-1"), ("remaining", "-1")];
    let in_body = r#"{"cost":1,"limit":-1,"remaining":-1,"resetAt":null}"#;
    for (headers, body) in [(&in_headers[..], "null"), (&[], in_body)] {
        let (github, token) = headless().await;
        always(&github, headers, body);
        let refreshed = ask(&github, &token, Lane::Idle, BudgetView::default()).await;
        assert_eq!(refreshed.outcomes.len(), 25, "nothing is kept of no limit");
        let seen = refreshed.window("graphql");
        assert_eq!((seen.limit, seen.remaining), (Some(0), Some(0)));
        assert_eq!(seen.pause_for, None);
    }
}

/// One at which the limit is spent, and one at which all that is left is the user's.
#[tokio::test]
async fn a_host_that_tells_no_end_of_its_window_is_asked_again_after_a_minute() {
    for remaining in ["0", "54"] {
        let (github, token) = headless().await;
        always(
            &github,
            &[("limit", "60"), ("remaining", remaining)],
            "null",
        );
        let mut budget = BudgetView::default();
        for lease in 1..=3 {
            let refreshed = ask(&github, &token, Lane::Idle, budget.clone()).await;
            assert_eq!(github.requests().len(), lease, "with {remaining} left");
            assert!(is_answered(&refreshed, "b9"));
            assert!(is_a_minute(withheld(&refreshed, "b24")));
            let seen = refreshed.window("graphql");
            assert_eq!(seen.reset_in, None);
            // As the next lease has it, when the pause is over.
            budget = of_graphql(&Window {
                pause_for: None,
                ..seen
            });
        }
    }
}
