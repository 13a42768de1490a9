//! Budgets that are spent, and accounts that are to be left alone, over GraphQL.

use std::{sync::Arc, time::Duration};

use gitsync_service::{
    lease::{BudgetView, Lane, Lease, LeasedRef, Window},
    outcome::{Pause, ProblemClass},
    pace,
    refresh::Refresher,
};
use testkit::github::{Fault, GitHub, LimitSpelling, Matching, Resource};

use crate::{
    batches::{after, linked, operations},
    support::{Refreshed, budget_of, engine, git_ref, group, lease, refresh, refresher, world},
};

const HOUR: Duration = Duration::from_secs(3600);

fn in_lane(lane: Lane, git_ref: &LeasedRef) -> LeasedRef {
    LeasedRef {
        lane,
        ..git_ref.clone()
    }
}

async fn ask(github: &GitHub, token: &str, refs: Vec<LeasedRef>) -> Refreshed {
    refresh(&engine(), lease(vec![group(github, token, refs)])).await
}

fn with_budget(
    github: &GitHub,
    token: &str,
    refs: Vec<LeasedRef>,
    budget: BudgetView,
) -> Arc<Lease> {
    let lease = lease(vec![group(github, token, refs)]);
    Arc::new(Lease {
        budget,
        ..Lease::clone(&lease)
    })
}

/// That the ref has no outcome, and that what is as urgent as it rests for this long, at the least.
fn rests(refreshed: &Refreshed, name: &str, lane: Lane, least: Duration) {
    assert_eq!(refreshed.withheld(name), ProblemClass::LimitReserved);
    let Pause {
        from_lane,
        duration,
        ..
    } = refreshed.rest().unwrap();
    assert_eq!((refreshed.pause(), from_lane), (None, lane));
    let least = least.saturating_sub(Duration::from_secs(10));
    assert!(duration >= least, "{duration:?}");
}

#[tokio::test]
async fn a_spent_budget_is_told_in_both_spellings_and_rest_serves_who_is_looked_at() {
    for spelling in [LimitSpelling::RateLimited, LimitSpelling::RateLimit] {
        let (github, token) = world().await;
        let refs = linked(&github, &token, 4).await;
        github.set_limit_spelling(spelling);
        github
            .budget_of("ann", Resource::Graphql)
            .spend_all()
            .resets_in(HOUR);
        let lanes = [Lane::Interactive, Lane::Viewed, Lane::Active, Lane::Idle];
        let refs = lanes
            .iter()
            .zip(&refs)
            .map(|(lane, git_ref)| in_lane(*lane, git_ref))
            .collect();
        let refreshed = ask(&github, &token, refs).await;
        assert_eq!(github.count(Matching::graphql()), 1);
        for id in ["b0", "b1", "b2"] {
            assert!(refreshed.outcomes[id].learned.validator.is_some(), "{id}");
            refreshed.found(id);
        }
        // REST may be spent, so that the budget as a whole does not pause.
        rests(&refreshed, "b3", Lane::Idle, HOUR);
        let graphql = refreshed.window("graphql").unwrap();
        assert!(graphql.pause_for.unwrap() >= HOUR - Duration::from_secs(10));
        assert_eq!(refreshed.window("core").unwrap().pause_for, None);
    }
}

#[tokio::test]
async fn less_left_than_a_query_costs_is_a_spent_budget_though_not_nothing() {
    let (github, token) = world().await;
    let refs: Vec<LeasedRef> = (0..10)
        .map(|index| in_lane(Lane::Idle, &git_ref(&format!("b{index}"), "acme/web", "b")))
        .collect();
    github.fault(Matching::graphql()).respond(Fault::Answer {
        status: 200,
        headers: vec![
            ("x-ratelimit-limit".to_owned(), "5000".to_owned()),
            ("x-ratelimit-remaining".to_owned(), "1".to_owned()),
        ],
        body: r#"{"errors":[{"type":"RATE_LIMITED","message":"API rate limit exceeded"}]}"#
            .to_owned(),
    });
    let refreshed = ask(&github, &token, refs).await;
    rests(&refreshed, "b9", Lane::Idle, Duration::from_secs(60));
    assert_eq!(github.requests().len(), 1);
}

#[tokio::test]
async fn the_last_point_of_a_window_is_used_and_none_is_asked_for_after_it() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("b0").open();
    let refs = (0..25)
        .map(|index| {
            let branch = format!("b{index}");
            in_lane(Lane::Idle, &git_ref(&branch, "acme/web", &branch))
        })
        .collect();
    github
        .budget_of("ann", Resource::Graphql)
        .remaining(1)
        .resets_in(HOUR);
    let refreshed = ask(&github, &token, refs).await;
    assert_eq!(refreshed.found("b0").shown.number, 1);
    rests(&refreshed, "b24", Lane::Idle, HOUR);
    assert_eq!(operations(&github), ["Discover"]);
}

/// Promise 7.
#[tokio::test]
async fn a_leased_pause_is_honoured_without_a_request() {
    let (github, token) = world().await;
    let refs = vec![
        in_lane(Lane::Idle, &git_ref("idle", "acme/web", "a")),
        in_lane(Lane::Viewed, &git_ref("viewed", "acme/web", "b")),
    ];
    let budget = budget_of(vec![Window {
        name: "graphql".to_owned(),
        pause_for: Some(HOUR),
        ..Window::default()
    }]);
    let refreshed = refresh(&engine(), with_budget(&github, &token, refs, budget)).await;
    assert_eq!(github.count(Matching::graphql()), 0);
    assert!(refreshed.result("viewed").is_ok(), "REST serves it");
    rests(&refreshed, "idle", Lane::Idle, HOUR);
}

/// REST's limit alone: what GraphQL can tell is told, and what it cannot is the ref's own problem.
#[tokio::test]
async fn a_limit_of_rest_keeps_no_ref_from_graphql_and_the_budget_from_nothing() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("feature").open();
    let budget = budget_of(vec![Window {
        name: "core".to_owned(),
        pause_for: Some(HOUR),
        ..Window::default()
    }]);
    let feature = git_ref("feature", "acme/web", "feature");
    let over_rest = lease(vec![group(&github, &token, vec![feature.clone()])]);
    let first = refresh(&refresher(), over_rest).await;
    // Asked by itself, it would be a question to REST.
    let known = after(&first.outcomes["feature"], feature.clone());
    let known = with_budget(&github, &token, vec![known], budget.clone());
    refresh(&engine(), known).await.found("feature");

    let heavy = github.pull_request("acme/web").head("heavy").open();
    github.poison("acme/web", heavy);
    let refs = vec![feature, git_ref("heavy", "acme/web", "heavy")];
    let refreshed = refresh(&engine(), with_budget(&github, &token, refs, budget)).await;
    refreshed.found("feature");
    assert_eq!(refreshed.class("heavy"), "query_too_heavy");
    assert_eq!((refreshed.pause(), refreshed.rest()), (None, None));
}

#[tokio::test]
async fn the_users_reserve_is_not_touched_for_what_nobody_looks_at() {
    let (github, token) = world().await;
    let window = |name: &str| Window {
        name: name.to_owned(),
        limit: Some(5000),
        remaining: Some(1500),
        reset_in: Some(HOUR),
        ..Window::default()
    };
    let budget = budget_of(["core", "graphql"].map(window).into());
    let refs = |lane| vec![in_lane(lane, &git_ref("r", "acme/web", "a"))];
    for (lane, resting) in [(Lane::Idle, Lane::Idle), (Lane::Active, Lane::Viewed)] {
        let lease = with_budget(&github, &token, refs(lane), budget.clone());
        let refreshed = refresh(&engine(), lease).await;
        rests(&refreshed, "r", resting, HOUR);
    }
    assert!(github.requests().is_empty());
    for lane in [Lane::Viewed, Lane::Interactive] {
        let lease = with_budget(&github, &token, refs(lane), budget.clone());
        let refreshed = refresh(&engine(), lease).await;
        assert!(refreshed.result("r").is_ok());
    }
}

#[tokio::test]
async fn a_secondary_limit_stops_both_interfaces_in_every_spelling() {
    let secondary = |status, retry_after| Fault::SecondaryLimit {
        status,
        retry_after,
    };
    for (fault, at_least) in [
        (secondary(200, None), 60),
        (secondary(200, Some(120)), 120),
        (secondary(403, None), 60),
        (secondary(403, Some(90)), 90),
        (secondary(429, Some(5)), 60),
    ] {
        let (github, token) = world().await;
        let refs = linked(&github, &token, 40).await;
        github.fault(Matching::any()).once().respond(fault.clone());
        let refs = refs.iter().map(|r| in_lane(Lane::Viewed, r)).collect();
        let refreshed = ask(&github, &token, refs).await;
        assert_eq!(github.requests().len(), 1, "{fault:?}");
        assert!(refreshed.outcomes.is_empty(), "{fault:?}");
        let pause = refreshed.pause().unwrap();
        assert_eq!(pause.class, ProblemClass::SecondaryLimited);
        assert_eq!(pause.from_lane, Lane::Interactive);
        assert!(pause.duration >= Duration::from_secs(at_least - 5));
    }
}

#[tokio::test]
async fn for_a_while_after_a_secondary_limit_half_as_many_are_asked_at_once() {
    let (github, token) = world().await;
    let branches = (0..10).map(|number| format!("b{number}"));
    let refs: Vec<_> = branches
        .map(|branch| git_ref(&branch, "acme/web", &branch))
        .collect();
    let refresher = Refresher::builder().pace(pace::Settings {
        burst_gap: Duration::ZERO,
        cautious_gap: Duration::ZERO,
        ..pace::Settings::default()
    });
    let refresher = refresher.build().unwrap();
    for (cautious_for, queries) in [(Some(HOUR), 2), (None, 1)] {
        github.clear_requests();
        let budget = BudgetView {
            cautious_for,
            ..BudgetView::default()
        };
        let lease = with_budget(&github, &token, refs.clone(), budget);
        let refreshed = refresh(&refresher, lease).await;
        assert_eq!(refreshed.outcomes.len(), 10);
        assert_eq!(github.count(Matching::graphql()), queries);
    }
}

#[tokio::test]
async fn a_locked_or_suspended_account_stops_its_key_and_no_other() {
    for fault in [Fault::LockedOut, Fault::Suspended] {
        let (github, token) = world().await;
        let bob = github.user("bob");
        github.repository("acme/web").grant(&bob);
        let refs = linked(&github, &token, 30).await;
        github.fault(Matching::any().by("ann")).respond(fault);
        let refresher = engine();
        let of_bob = lease(vec![group(
            &github,
            &bob.token(),
            vec![git_ref("bobs", "acme/web", "b1")],
        )]);
        let (ann, bob) = tokio::join!(
            refresh(&refresher, lease(vec![group(&github, &token, refs)])),
            refresh(&refresher, of_bob)
        );
        assert!(ann.outcomes.is_empty());
        assert_eq!(ann.withheld("b0"), ProblemClass::AccountLocked);
        assert!(ann.pause().unwrap().duration >= HOUR - Duration::from_secs(10));
        assert_eq!(github.count(Matching::any().by("ann")), 1);
        assert_eq!(bob.found("bobs").shown.number, 2);
    }
}
