//! Limits that only GraphQL's answers tell of, for want of headers.

use std::{sync::Arc, time::Duration};

use gitsync_service::{
    lease::{BudgetView, Lane, Lease, LeasedRef, Window},
    outcome::ProblemClass,
    pace::pause::{RESET_PADDING, RESET_SPREAD},
};
use jiff::SignedDuration;
use testkit::github::{BudgetHandle, Fault, GitHub, Matching, Resource};

use crate::{
    batches::operations,
    support::{Refreshed, budget_of, engine, git_ref, group, lease, refresh, result, world},
};

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);
const MINUTE: Duration = Duration::from_secs(60);
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
    let branches = (0..15).map(|number| format!("b{number}"));
    branches
        .map(|branch| LeasedRef {
            lane,
            ..git_ref(&branch, "acme/web", &branch)
        })
        .collect()
}

async fn ask(github: &GitHub, token: &str, lane: Lane, budget: BudgetView) -> Refreshed {
    let lease = lease(vec![group(github, token, refs(lane))]);
    let lease = Lease {
        budget,
        ..Lease::clone(&lease)
    };
    refresh(&engine(), Arc::new(lease)).await
}

/// How long what is idle rests, where this ref has no outcome.
fn withheld(refreshed: &Refreshed, name: &str) -> Duration {
    assert_eq!(refreshed.withheld(name), ProblemClass::LimitReserved);
    let rest = refreshed.rest().unwrap();
    assert_eq!(rest.from_lane, Lane::Idle);
    rest.duration
}

fn graphql(refreshed: &Refreshed) -> Window {
    refreshed.window("graphql").unwrap()
}

/// A rest until then, with what keeps keys apart.
fn is_until(rest: Duration, end: Duration) -> bool {
    let least = end + RESET_PADDING - FIVE_SECONDS;
    (least..=least + RESET_SPREAD + FIVE_SECONDS).contains(&rest)
}

fn is_half_an_hour(told: Option<Duration>) -> bool {
    told.is_some_and(|told| told <= HALF_AN_HOUR && told >= HALF_AN_HOUR - FIVE_SECONDS)
}

#[tokio::test]
async fn what_is_left_is_known_from_the_answer_itself_by_the_hosts_clock() {
    for hours in [-3, 0, 3] {
        let (github, token) = headless().await;
        github.set_clock_skew(SignedDuration::from_hours(hours));
        limit(&github).remaining(4000).resets_in(HALF_AN_HOUR);
        let refreshed = ask(&github, &token, Lane::Idle, BudgetView::default()).await;
        assert!(refreshed.outcomes.values().all(|seen| result(seen).is_ok()));
        let seen = graphql(&refreshed);
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
    assert!(refreshed.result("b9").is_ok());
    assert!(is_until(withheld(&refreshed, "b14"), HALF_AN_HOUR));
    assert_eq!(operations(&github), ["Discover"]);
}

#[tokio::test]
async fn the_last_point_is_used_and_nothing_is_asked_until_the_window_ends() {
    let (github, token) = headless().await;
    limit(&github).remaining(1);
    let refreshed = ask(&github, &token, Lane::Idle, BudgetView::default()).await;
    assert!(refreshed.result("b9").is_ok());
    assert!(is_until(withheld(&refreshed, "b14"), HALF_AN_HOUR));
    assert_eq!(operations(&github), ["Discover"]);
    let pause = graphql(&refreshed).pause_for.unwrap();
    assert!(is_until(pause, HALF_AN_HOUR));
}

/// Promise 7: the refusal itself does not say when the window ends.
#[tokio::test]
async fn a_refusal_lasts_until_the_end_of_the_window_that_an_earlier_answer_told() {
    let (github, token) = headless().await;
    limit(&github).spend_all();
    let known = budget_of(vec![Window {
        name: "graphql".to_owned(),
        limit: Some(5000),
        remaining: Some(4000),
        reset_in: Some(HALF_AN_HOUR),
        ..Window::default()
    }]);
    let refreshed = ask(&github, &token, Lane::Idle, known).await;
    assert!(is_until(withheld(&refreshed, "b0"), HALF_AN_HOUR));
    let pause = graphql(&refreshed).pause_for;
    assert!(pause.unwrap() > HALF_AN_HOUR);
    assert_eq!(github.requests().len(), 1);

    // Nobody told anything yet.
    let refreshed = ask(&github, &token, Lane::Idle, BudgetView::default()).await;
    assert!(is_until(withheld(&refreshed, "b0"), MINUTE));
}

/// Answers all queries, of which every branch has no pull request, with these headers and body on limits.
fn always(github: &GitHub, headers: &[(&str, &str)], body: &str) {
    const NOBODY: &str = r#"{"nameWithOwner":"acme/web","isFork":false,"parent":null,"head":null,
        "open":{"nodes":[]}}"#;
    let aliases: Vec<_> = (0..15).map(|n| format!(r#""r{n}":{NOBODY}"#)).collect();
    let owned = |(name, value): &(&str, &str)| (format!("x-ratelimit-{name}"), value.to_string());
    github.fault(Matching::graphql()).respond(Fault::Answer {
        status: 200,
        headers: headers.iter().map(owned).collect(),
        body: format!(r#"{{"data":{{"rateLimit":{body},{}}}}}"#, aliases.join(",")),
    });
}

/// chat-service refuses a report that tells of less than nothing.
#[tokio::test]
async fn a_limit_below_nothing_is_told_as_none() {
    let in_headers = [("limit", "-1"), ("remaining", "-1")];
    let in_body = r#"{"cost":1,"limit":-1,"remaining":-1,"resetAt":null}"#;
    for (headers, body) in [(&in_headers[..], "null"), (&[], in_body)] {
        let (github, token) = headless().await;
        always(&github, headers, body);
        let refreshed = ask(&github, &token, Lane::Idle, BudgetView::default()).await;
        let answered = refreshed
            .outcomes
            .values()
            .filter(|seen| result(seen).is_ok());
        assert_eq!(answered.count(), 15, "nothing is kept of no limit");
        let seen = graphql(&refreshed);
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
            assert!(refreshed.result("b9").is_ok());
            assert!(is_until(withheld(&refreshed, "b14"), MINUTE));
            // As the next lease has it, when the pause is over.
            let told = graphql(&refreshed);
            assert_eq!(told.reset_in, None);
            budget.windows = vec![Window {
                pause_for: None,
                ..told
            }];
        }
    }
}
