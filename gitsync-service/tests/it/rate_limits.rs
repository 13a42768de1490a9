//! Budgets that are spent.

use std::time::Duration;

use gitsync_service::{
    lease::LeasedRef,
    outcome::Problem,
    pace::pause::{RESET_PADDING, RESET_SPREAD},
    refresh::Refresher,
};
use testkit::github::{Fault, GitHub};

use crate::support::{
    Refreshed, git_ref, group, lease, refresh, refresh_one, refresher, rest, without_reserve, world,
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

fn retry_after(refreshed: &Refreshed, id: &str) -> Duration {
    match refreshed.result(id) {
        Err(
            Problem::RateLimited { retry_after, .. } | Problem::SecondaryLimited { retry_after },
        ) => *retry_after,
        other => panic!("{id} should be rate limited, but: {other:?}"),
    }
}

#[tokio::test]
async fn the_first_rate_limit_answer_stops_the_rest_and_tells_all_the_same() {
    let (github, token) = world().await;
    github
        .budget("ann")
        .spend_all()
        .resets_in(Duration::from_secs(600));
    let refreshed = three(&github, &token).await;
    assert_eq!(github.requests().len(), 1);
    let first = retry_after(&refreshed, "1");
    assert!(first <= Duration::from_secs(600) && first >= Duration::from_secs(590));
    for id in ["2", "3"] {
        assert_eq!(retry_after(&refreshed, id), first);
    }
    let pause = refreshed.next("1").unwrap();
    let least = first + RESET_PADDING;
    assert!((least..=least + RESET_SPREAD).contains(&pause), "{pause:?}");
    for id in ["2", "3"] {
        assert_eq!(refreshed.next(id), Some(pause));
    }
    let budget = refreshed.budget.unwrap();
    let told = budget.rest.pause_for.unwrap();
    assert!(told > first, "{told:?}");
    assert_eq!(
        (budget.rest.limit, budget.rest.remaining),
        (Some(5000), Some(0))
    );
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
    assert_eq!(retry_after(&spent, "1"), retry_after(&spent, "2"));
    assert_eq!(other.found("other").number, 1);
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
    retry_after(&refreshed, "3");
    assert_eq!(github.requests().len(), 2);
    assert!(refreshed.budget.unwrap().rest.pause_for.is_some());
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
    assert_eq!(refreshed.outcomes.len(), 50);
    for id in refreshed.outcomes.keys() {
        retry_after(&refreshed, id);
    }
    assert_eq!((github.requests().len(), refused(&github)), (1, 1));
}

#[tokio::test]
async fn what_is_left_of_a_budget_is_used_and_no_refusal_is_earned() {
    let all_of_it = rest().pace(without_reserve()).build().unwrap();
    for left in 1..=12 {
        let (github, token) = world().await;
        github.budget("ann").remaining(left);
        let refreshed = refresh(&all_of_it, lease(vec![group(&github, &token, fifty())])).await;
        let found = refreshed.outcomes.values().filter(|o| o.result.is_ok());
        assert_eq!(found.count(), usize::try_from(left).unwrap());
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
    assert_eq!(refreshed.outcomes.len(), 50);
    assert_eq!(refused(&github), 0);
}

#[tokio::test]
async fn an_ordinary_refusal_is_no_rate_limit_and_stops_nothing() {
    let (github, token) = world().await;
    github.fault("/pulls$").once().respond(Fault::Forbidden);
    let refreshed = three(&github, &token).await;
    assert_eq!(*refreshed.result("1"), Err(Problem::AccessDenied));
    assert!(refreshed.result("2").is_ok() && refreshed.result("3").is_ok());
    assert_eq!(refreshed.budget.unwrap().pause_for, None);
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
            assert!(retry_after(&refreshed, "3") >= Duration::from_secs(expected));
            let problem = refreshed.result("3").as_ref().unwrap_err();
            assert_eq!(problem.class(), "secondary_limited");
            assert!(refreshed.budget.unwrap().pause_for.is_some());
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
        let outcome = refresh_one(&github, &token, git_ref("r", "acme/web", "a")).await;
        let Err(Problem::RateLimited { retry_after, .. }) = outcome.result else {
            panic!("{outcome:?}");
        };
        assert!(
            retry_after <= Duration::from_secs(300) && retry_after >= Duration::from_secs(290),
            "{hours} h: {retry_after:?}"
        );
    }
}

#[tokio::test]
async fn what_is_left_of_the_budget_is_told() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("a").open();
    let refs = vec![git_ref("r", "acme/web", "a")];
    let refreshed = refresh(&refresher(), lease(vec![group(&github, &token, refs)])).await;
    let budget = refreshed.budget.unwrap();
    assert_eq!(
        (budget.rest.limit, budget.rest.remaining),
        (Some(5000), Some(4997))
    );
    assert!(budget.rest.reset_in.is_some() && budget.pause_for.is_none());
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
    assert!(retry_after(&refreshed, "1") >= Duration::from_secs(60));
}
