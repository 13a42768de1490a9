//! How many at once, what is asked once, and what is not asked at all.

use std::time::Duration;

use gitsync_service::{
    schedule::{NO_TOKEN_BACKOFF, Schedule},
    worker::{Refresher, RefresherSettings},
};
use proto::sync::{Finding, LeaseGroup, ProblemClass, Provider, ProviderKind};
use testkit::github::{GitHub, Matching};

use crate::support::{
    exact_schedule, git_ref, group, group_at, knowing, lease, number, refresh, refresh_until,
    refresher, rest, world,
};

/// A refresher with `concurrency` requests on the wire at once.
fn at_once(concurrency: usize) -> Refresher {
    Refresher::new(RefresherSettings {
        concurrency,
        ..rest()
    })
    .unwrap()
}

#[tokio::test]
async fn three_refreshes_are_inside_the_provider_at_once() {
    let (github, token) = world().await;
    // The first request is a probe: the token is accepted only once it is answered.
    let hold = github.hold("/reviews");
    let refs = ["a", "b", "c"].map(|branch| {
        github.pull_request("acme/web").head(branch).open();
        git_ref(branch, "acme/web", branch)
    });
    let lease = lease(vec![group(&github, &token, refs.into())]);
    let refresher = refresher();
    let (refreshed, ()) = tokio::join!(refresh(&refresher, lease), async {
        hold.waiting(3).await;
        hold.release();
    });
    assert_eq!(refreshed.outcomes.len(), 3);
}

#[tokio::test]
async fn no_more_requests_than_the_limit_are_at_the_host_at_once() {
    let (github, token) = world().await;
    let hold = github.hold("/reviews");
    let refresher = at_once(4);
    let branches: Vec<_> = (0..12).map(|i| format!("b{i}")).collect();
    for branch in &branches {
        github.pull_request("acme/web").head(branch).open();
    }
    let half = |part: &[String]| {
        let refs = part.iter().map(|b| git_ref(b, "acme/web", b)).collect();
        lease(vec![group(&github, &token, refs)])
    };
    let (one, other, ()) = tokio::join!(
        refresh(&refresher, half(&branches[..6])),
        refresh(&refresher, half(&branches[6..])),
        async {
            hold.waiting(4).await;
            hold.release();
        }
    );
    assert_eq!(one.outcomes.len() + other.outcomes.len(), 12);
    assert!(github.max_in_flight() <= 4, "{}", github.max_in_flight());
}

#[tokio::test]
async fn chats_on_one_branch_are_one_lookup() {
    let (github, token) = world().await;
    let pull = github.pull_request("acme/web").head("feature").open();
    let refs = vec![
        git_ref("1", "acme/web", "feature"),
        git_ref("2", "ACME/WEB", "feature"),
        git_ref("3", "acme/web", "feature"),
    ];
    let refreshed = refresh(&refresher(), lease(vec![group(&github, &token, refs)])).await;
    for id in ["1", "2", "3"] {
        assert_eq!(refreshed.found(id).shown.number, number(pull));
    }
    // Its list, itself, its reviews, and two sorts of checks.
    assert_eq!(github.requests().len(), 5);
}

#[tokio::test]
async fn chats_on_one_pull_request_are_one_lookup_also_when_some_do_not_know_it_yet() {
    let (github, token) = world().await;
    let pull = github.pull_request("acme/web").head("feature").open();
    let refs = vec![
        git_ref("new", "acme/web", "feature"),
        knowing(git_ref("1", "acme/web", "feature"), "acme/web", pull),
        knowing(git_ref("2", "acme/web", "feature"), "Acme/Web", pull),
        // Reported by the name from before a rename.
        knowing(git_ref("moved", "acme/old", "feature"), "acme/web", pull),
    ];
    github.repository("acme/web");
    github.rename("acme/web", "acme/web2");
    github.rename("acme/web2", "acme/web");
    let refreshed = refresh(&refresher(), lease(vec![group(&github, &token, refs)])).await;
    for id in ["new", "1", "2"] {
        assert_eq!(refreshed.found(id).shown.number, number(pull), "{id}");
    }
    assert_eq!(github.count("/pulls/1$"), 1);
    assert_eq!(github.count("/pulls/1/reviews"), 1);
}

#[tokio::test]
async fn a_settled_pull_request_that_one_chat_knows_is_not_given_to_another() {
    let (github, token) = world().await;
    let merged = github.pull_request("acme/web").head("feature").merged();
    let refs = vec![
        knowing(git_ref("knows", "acme/web", "feature"), "acme/web", merged),
        git_ref("new", "acme/web", "feature"),
    ];
    let refreshed = refresh(&refresher(), lease(vec![group(&github, &token, refs)])).await;
    assert_eq!(refreshed.found("knows").shown.number, number(merged));
    assert_eq!(*refreshed.finding("new"), Finding::NoPullRequest);
    assert_eq!(github.count("/pulls$"), 1);
}

#[tokio::test]
async fn without_an_account_the_host_is_not_asked_for_ten_minutes() {
    let (github, _) = world().await;
    let refs = vec![
        git_ref("1", "acme/web", "a"),
        knowing(git_ref("2", "acme/web", "b"), "acme/web", 1),
    ];
    let lease = lease(vec![group_at(&github.api_base_url(), None, refs)]);
    let refreshed = refresh(&refresher(), lease).await;
    for id in ["1", "2"] {
        assert_eq!(refreshed.class(id), ProblemClass::NoAccount);
        assert_eq!(refreshed.next(id), Some(NO_TOKEN_BACKOFF));
    }
    assert!(github.requests().is_empty());
}

#[tokio::test]
async fn a_provider_that_is_not_spoken_is_not_asked() {
    let (github, token) = world().await;
    let spoken = group(&github, &token, vec![git_ref("1", "acme/web", "a")]);
    let foreign = LeaseGroup {
        provider: Provider {
            id: "gitlab".to_owned(),
            kind: ProviderKind::Unspecified,
            host: "gitlab.com".to_owned(),
            api_base_url: github.api_base_url(),
        },
        refs: vec![git_ref("2", "acme/web", "a")],
        ..spoken.clone()
    };
    let refreshed = refresh(&refresher(), lease(vec![foreign, spoken])).await;
    assert_eq!(refreshed.class("2"), ProblemClass::ProviderUnsupported);
    assert_eq!(refreshed.next("2"), Some(Schedule::DEFAULT.failure_cap));
    assert_eq!(*refreshed.finding("1"), Finding::NoPullRequest);
    assert_eq!(github.requests().len(), 1);
}

#[tokio::test]
async fn each_origin_is_asked_with_its_own_token_and_no_other() {
    let (github, token) = world().await;
    let enterprise = GitHub::start().await;
    let bob = enterprise.user("bob");
    enterprise.repository("corp/app").grant(&bob);
    let lease = lease(vec![
        group(
            &github,
            &token,
            vec![git_ref("1", "acme/web", "a"), git_ref("2", "acme/web", "b")],
        ),
        group_at(
            &enterprise.enterprise_base_url(),
            Some(&bob.token()),
            vec![git_ref("3", "corp/app", "a")],
        ),
    ]);
    let refreshed = refresh(&refresher(), lease).await;
    for name in ["1", "2", "3"] {
        assert_eq!(*refreshed.finding(name), Finding::NoPullRequest);
    }
    assert!(github.requests().iter().all(|r| r.login() == Some("ann")));
    assert!(
        enterprise
            .requests()
            .iter()
            .all(|r| r.login() == Some("bob"))
    );
    assert_eq!(
        (github.requests().len(), enterprise.requests().len()),
        (2, 1)
    );
}

#[tokio::test]
async fn a_found_status_is_fresh_for_the_time_that_is_set() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("a").open();
    let refs = || vec![git_ref("r", "acme/web", "a")];
    let refreshed = refresh(&refresher(), lease(vec![group(&github, &token, refs())])).await;
    assert_eq!(refreshed.next("r"), Some(Schedule::DEFAULT.diff_status_ttl));

    let schedule = Schedule {
        diff_status_ttl: Duration::from_secs(7),
        ..exact_schedule()
    };
    let other = Refresher::new(RefresherSettings { schedule, ..rest() }).unwrap();
    let refreshed = refresh(&other, lease(vec![group(&github, &token, refs())])).await;
    assert_eq!(refreshed.next("r"), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn at_the_deadline_what_was_begun_fails_what_is_done_counts_and_the_rest_is_left() {
    let (github, token) = world().await;
    let done = github.pull_request("acme/web").head("done").open();
    let hold = github.hold(Matching::path("/pulls$").query("head", "acme:slow"));
    let refresher = at_once(1);
    let refs = vec![
        git_ref("done", "acme/web", "done"),
        git_ref("slow", "acme/web", "slow"),
        git_ref("never", "acme/web", "never"),
    ];
    let lease = lease(vec![group(&github, &token, refs)]);
    let refreshed = refresh_until(&refresher, lease, Duration::from_millis(700)).await;
    assert_eq!(refreshed.found("done").shown.number, number(done));
    assert_eq!(refreshed.class("slow"), ProblemClass::HostUnavailable);
    assert!(!refreshed.outcomes.contains_key("never"));
    assert_eq!(refreshed.order, ["done", "slow"]);
    // The request was taken back from the host.
    hold.empty().await;
}

#[tokio::test]
async fn an_empty_lease_asks_nothing() {
    let refreshed = refresh(&refresher(), lease(Vec::new())).await;
    assert!(refreshed.outcomes.is_empty() && refreshed.budget.is_none());
}
