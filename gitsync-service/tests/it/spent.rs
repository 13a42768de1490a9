//! Budgets that are spent or paused, over GraphQL.

use std::time::Duration;

use proto::sync::{BudgetView, Finding, Lane, LeasedRef, Pause, ProblemClass, Window};
use testkit::github::{Fault, GitHub, LimitSpelling, Matching, Resource};

use crate::{
    batches::{linked, operations},
    support::{Refreshed, engine, git_ref, group, lease, lease_of, lease_with, refresh, world},
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

/// How long the budget rests for `lane` and what is less urgent.
fn rest(refreshed: &Refreshed, lane: Lane) -> Duration {
    let rest = refreshed.budget.as_ref().and_then(|budget| budget.rest);
    match rest {
        Some(rest) if rest.from_lane == lane => rest.duration,
        other => panic!("the budget should rest from {lane:?} on, but: {other:?}"),
    }
}

fn pause(refreshed: &Refreshed) -> Option<Pause> {
    refreshed.budget.as_ref()?.pause
}

fn windows(names: &[&str], window: &Window) -> BudgetView {
    let named = |name: &&str| Window {
        name: (*name).to_owned(),
        ..window.clone()
    };
    BudgetView {
        windows: names.iter().map(named).collect(),
        account_known: true,
        ..BudgetView::default()
    }
}

#[tokio::test]
async fn a_spent_budget_is_recognised_in_both_spellings_and_rest_serves_viewed_refs() {
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
        for name in ["b0", "b1", "b2"] {
            refreshed.found(name);
        }
        assert!(refreshed.is_unsent("b3"));
        let rest = rest(&refreshed, Lane::Idle);
        assert!(rest > HOUR - Duration::from_secs(10) && rest < HOUR + Duration::from_secs(70));
        let graphql = refreshed.window("graphql").pause_for.unwrap();
        assert!(graphql >= rest - Duration::from_secs(10));
        assert_eq!(refreshed.window("core").pause_for, None);
        assert_eq!(pause(&refreshed), None);
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
    assert!(refreshed.is_unsent("b9"));
    rest(&refreshed, Lane::Idle);
    assert!(refreshed.window("graphql").pause_for.is_some());
    assert_eq!(github.requests().len(), 1);
}

#[tokio::test]
async fn the_last_point_of_a_window_is_used_and_none_is_asked_for_after_it() {
    let (github, token) = world().await;
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
    assert_eq!(*refreshed.finding("b0"), Finding::NoPullRequest);
    assert!(refreshed.is_unsent("b24"));
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
    let paused = Window {
        pause_for: Some(HOUR),
        ..Window::default()
    };
    let groups = vec![group(&github, &token, refs)];
    let lease = lease_with("key", groups, windows(&["graphql"], &paused));
    let refreshed = refresh(&engine(), lease).await;
    assert_eq!(github.count(Matching::graphql()), 0);
    assert_eq!(*refreshed.finding("viewed"), Finding::NoPullRequest);
    assert!(refreshed.is_unsent("idle"));
    assert!(rest(&refreshed, Lane::Idle) > HOUR - Duration::from_secs(10));
}

#[tokio::test]
async fn the_owners_reserve_is_kept_from_background_lanes() {
    let (github, token) = world().await;
    let window = Window {
        limit: Some(5000),
        remaining: Some(1500),
        reset_in: Some(HOUR),
        ..Window::default()
    };
    let asked = |lane| {
        let refs = vec![in_lane(lane, &git_ref("r", "acme/web", "a"))];
        let groups = vec![group(&github, &token, refs)];
        lease_with("key", groups, windows(&["core", "graphql"], &window))
    };
    for lane in [Lane::Idle, Lane::Active] {
        let refreshed = refresh(&engine(), asked(lane)).await;
        assert!(refreshed.is_unsent("r"));
        assert!(rest(&refreshed, lane) > HOUR - Duration::from_secs(10));
        assert_eq!(refreshed.problem("r"), ProblemClass::LimitReserved);
    }
    assert!(github.requests().is_empty());
    for lane in [Lane::Viewed, Lane::Interactive] {
        let refreshed = refresh(&engine(), asked(lane)).await;
        assert_eq!(*refreshed.finding("r"), Finding::NoPullRequest);
    }
}

#[tokio::test]
async fn a_budget_whose_windows_are_all_spent_is_paused_until_the_first_ends() {
    let (github, token) = world().await;
    let refs = vec![in_lane(Lane::Viewed, &git_ref("r", "acme/web", "a"))];
    for (resource, resets_in) in [(Resource::Graphql, HOUR), (Resource::Core, HOUR / 2)] {
        let budget = github.budget_of("ann", resource);
        budget.spend_all().resets_in(resets_in);
    }
    let refreshed = ask(&github, &token, refs).await;
    assert!(refreshed.is_unsent("r"));
    let pause = pause(&refreshed).unwrap();
    assert_eq!(pause.class, ProblemClass::RateLimited);
    assert_eq!(pause.from_lane, Lane::Interactive);
    assert!(pause.duration > HOUR / 2 - Duration::from_secs(10));
    assert!(pause.duration < HOUR / 2 + Duration::from_secs(70));
    assert_eq!(github.requests().len(), 2);
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
        assert!(refreshed.outcomes.is_empty(), "{fault:?}: {refreshed:?}");
        let pause = pause(&refreshed).unwrap();
        assert_eq!(pause.class, ProblemClass::SecondaryLimited);
        assert!(pause.duration > Duration::from_secs(at_least - 5));
        assert_eq!(refreshed.budget.unwrap().secondary_refusals, 1);
    }
}

#[tokio::test]
async fn for_a_while_after_a_secondary_limit_half_as_many_are_asked_at_once() {
    let (github, token) = world().await;
    let branches = (0..20).map(|number| format!("b{number}"));
    let refs: Vec<_> = branches
        .map(|branch| git_ref(&branch, "acme/web", &branch))
        .collect();
    let refresher = engine();
    for (cautious_for, queries) in [(Some(HOUR), 2), (None, 1)] {
        github.clear_requests();
        let budget = BudgetView {
            cautious_for,
            ..BudgetView::default()
        };
        let groups = vec![group(&github, &token, refs.clone())];
        let lease = lease_with("key", groups, budget);
        let refreshed = refresh(&refresher, lease).await;
        assert_eq!(refreshed.outcomes.len(), 20);
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
        let groups = vec![group(
            &github,
            &bob.token(),
            vec![git_ref("bobs", "acme/web", "b1")],
        )];
        let of_bob = lease_of("bob", groups);
        let (ann, bob) = tokio::join!(
            refresh(&refresher, lease(vec![group(&github, &token, refs)])),
            refresh(&refresher, of_bob)
        );
        assert!(ann.outcomes.is_empty(), "{ann:?}");
        assert_eq!(github.count(Matching::any().by("ann")), 1);
        let pause = pause(&ann).unwrap();
        assert_eq!(pause.class, ProblemClass::AccountLocked);
        assert_eq!(bob.found("bobs").shown.number, 2);
    }
}
