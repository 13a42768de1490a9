//! Hosts that fail: what several accounts meet is the host's, and what one meets is its own.

use std::{sync::Arc, time::Duration};

use gitsync_service::{
    metrics::{Metrics, registry},
    worker::{Refresher, RefresherSettings},
};
use proto::sync::{Finding, Lane, LeasedRef, ProblemClass};
use testkit::github::{Fault, GitHub, Matching};

use crate::support::{
    Refreshed, engine, git_ref, group, knowing, lease, lease_of, ref_name, refresh, refresh_until,
    refresher, rest, world,
};

const LOGINS: [&str; 4] = ["ann", "bob", "carl", "dora"];

/// One ref of each user, one user after the other.
async fn each(github: &GitHub, refresher: &Refresher, logins: &[&str]) -> Vec<Refreshed> {
    let mut all = Vec::new();
    for login in logins {
        let user = github.user(login);
        github.repository("acme/web").grant(&user);
        let groups = vec![group(
            github,
            &user.token(),
            vec![git_ref("r", "acme/web", "feature")],
        )];
        all.push(refresh(refresher, lease_of(login, groups)).await);
    }
    all
}

#[tokio::test]
async fn a_host_that_fails_three_accounts_is_asked_no_more_for_a_moment() {
    let (github, _) = world().await;
    let refresher = engine();
    github.fault(Matching::any()).respond(Fault::Status(503));
    let refreshed = each(&github, &refresher, &LOGINS).await;
    for refreshed in &refreshed[..3] {
        assert_eq!(refreshed.class("r"), ProblemClass::HostUnavailable);
    }
    assert!(refreshed[3].is_unsent("r"));
    let rest = refreshed[3].budget.as_ref().unwrap().rest.unwrap();
    assert_eq!(rest.class, ProblemClass::HostUnavailable);
    assert_eq!(rest.from_lane, Lane::Interactive);
    assert_eq!(github.count(Matching::any().by("carl")), 1);
    assert_eq!(github.count(Matching::any().by("dora")), 0);
}

#[tokio::test]
async fn a_host_that_fails_two_accounts_goes_on_serving_the_others() {
    let (github, _) = world().await;
    let refresher = engine();
    github
        .fault(Matching::any())
        .times(2)
        .respond(Fault::Status(503));
    let refreshed = each(&github, &refresher, &LOGINS).await;
    for refreshed in &refreshed[2..] {
        assert_eq!(*refreshed.finding("r"), Finding::NoPullRequest);
    }
}

#[tokio::test]
async fn a_host_that_slows_three_accounts_down_is_slowed_and_after_three_more_asked_no_more() {
    let (github, _) = world().await;
    let metrics = Arc::<Metrics>::default();
    let refresher = Refresher::new(RefresherSettings {
        metrics: Arc::clone(&metrics),
        ..RefresherSettings::default()
    });
    let refresher = refresher.unwrap();
    github
        .fault(Matching::any())
        .respond(Fault::SecondaryLimit {
            status: 403,
            retry_after: None,
        });
    let logins = ["ann", "bob", "carl", "dora", "eve", "finn", "gus"];
    let refreshed = each(&github, &refresher, &logins).await;
    for refreshed in &refreshed {
        assert!(refreshed.is_unsent("r"));
    }
    for refreshed in &refreshed[..6] {
        let pause = refreshed.budget.as_ref().unwrap().pause.unwrap();
        assert_eq!(pause.class, ProblemClass::SecondaryLimited);
    }
    let rest = refreshed[6].budget.as_ref().unwrap().rest.unwrap();
    assert_eq!(rest.class, ProblemClass::SecondaryLimited);
    assert_eq!(github.count(Matching::any().by("gus")), 0);
    let slowed = format!(
        "gitsync_host_state{{host=\"{}\",state=\"slowed\"}} 1",
        github.api_base_url()
    );
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry(&metrics)).unwrap();
    assert!(text.lines().any(|line| line == slowed), "{text}");
}

#[tokio::test]
async fn of_500_accounts_of_which_5_are_slowed_down_the_others_are_refreshed_in_time() {
    let (github, _) = world().await;
    let refresher = engine();
    let logins: Vec<String> = (0..500).map(|number| format!("user{number}")).collect();
    for login in &logins[..5] {
        let limited = Fault::SecondaryLimit {
            status: 403,
            retry_after: None,
        };
        github.fault(Matching::any().by(login)).respond(limited);
    }
    let leases = logins.iter().map(|login| {
        let user = github.user(login);
        github.repository("acme/web").grant(&user);
        let refs = vec![git_ref("r", "acme/web", "feature")];
        lease_of(login, vec![group(&github, &user.token(), refs)])
    });
    let leases: Vec<_> = leases.collect();
    let all = leases.into_iter().map(|lease| refresh(&refresher, lease));
    let refreshed = futures_util::future::join_all(all).await;
    for (refreshed, login) in refreshed.iter().zip(&logins) {
        let is_limited = logins[..5].contains(login);
        assert_eq!(
            refreshed.is_unsent("r"),
            is_limited,
            "{login}: {refreshed:?}"
        );
    }
}

#[tokio::test]
async fn a_host_under_maintenance_is_unavailable_until_it_says_and_no_account_is_struck() {
    let (github, _) = world().await;
    let refresher = engine();
    github.fault(Matching::any()).respond(Fault::Answer {
        status: 503,
        headers: vec![("retry-after".to_owned(), "120".to_owned())],
        body: "<html>Down for maintenance</html>".to_owned(),
    });
    let refreshed = each(&github, &refresher, &LOGINS[..2]).await;
    assert_eq!(refreshed[0].class("r"), ProblemClass::HostUnavailable);
    let budget = refreshed[0].budget.clone().unwrap_or_default();
    assert_eq!((budget.secondary_refusals, budget.pause), (0, None));
    assert!(refreshed[1].is_unsent("r"));
    let rest = refreshed[1].budget.as_ref().unwrap().rest.unwrap();
    assert_eq!(rest.class, ProblemClass::HostUnavailable);
    assert!((100..=120).contains(&rest.duration.as_secs()), "{rest:?}");
    assert_eq!(github.requests().len(), 1);
}

/// The branches `feature` of `count` repositories, each of which has an open pull request.
fn repositories(github: &GitHub, count: usize) -> Vec<LeasedRef> {
    let ann = github.user("ann");
    let refs = (0..count).map(|index| {
        let repository = format!("acme/app{index}");
        github.repository(&repository).grant(&ann);
        github.pull_request(&repository).head("feature").open();
        git_ref(&format!("r{index}"), &repository, "feature")
    });
    refs.collect()
}

#[tokio::test]
async fn a_refusal_of_a_whole_query_is_of_no_repository_and_rest_answers() {
    for refusal in [Fault::Forbidden, Fault::InsufficientScopes] {
        let (github, token) = world().await;
        let refs = repositories(&github, 25);
        github.fault(Matching::graphql()).respond(refusal);
        let groups = vec![group(&github, &token, refs.clone())];
        let refreshed = refresh(&engine(), lease(groups)).await;
        for git_ref in &refs {
            refreshed.found(&ref_name(git_ref.id));
        }
        assert_eq!(github.count(Matching::graphql()), 1);
    }
}

#[tokio::test]
async fn a_page_of_html_in_place_of_an_answer_is_of_no_repository() {
    for status in [403, 404] {
        let page = Fault::Answer {
            status,
            headers: vec![("content-type".to_owned(), "text/html".to_owned())],
            body: "<html>Request forbidden by administrative rules</html>".to_owned(),
        };
        let (github, token) = world().await;
        let refs = repositories(&github, 25);
        let leased = || lease(vec![group(&github, &token, refs.clone())]);
        // Once over GraphQL: it is asked again.
        github
            .fault(Matching::graphql())
            .once()
            .respond(page.clone());
        let refreshed = refresh(&engine(), leased()).await;
        for git_ref in &refs {
            refreshed.found(&ref_name(git_ref.id));
        }
        github.fault(Matching::any()).respond(page);
        for refresher in [engine(), refresher()] {
            let refreshed = refresh(&refresher, leased()).await;
            assert!(!refreshed.outcomes.is_empty());
            for name in refreshed.outcomes.keys() {
                let expected = Finding::Failed {
                    class: ProblemClass::HostUnavailable,
                    repository_wide: false,
                };
                assert_eq!(*refreshed.finding(name), expected, "{status}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_person_waits_for_is_asked_first_whosever_credential_it_needs() {
    let (github, token) = world().await;
    let bob = github.user("bob");
    github.repository("acme/web").grant(&bob);
    // Asked for in two requests after each other: what it knows is settled.
    let merged = github.pull_request("acme/web").head("waits").merged();
    let mut waits = knowing(git_ref("waits", "acme/web", "waits"), "acme/web", merged);
    waits.lane = Lane::Interactive;
    let idle = (0..50).map(|index| {
        let branch = format!("b{index}");
        let mut idle = git_ref(&branch, "acme/web", &branch);
        idle.lane = Lane::Idle;
        idle
    });
    let groups = vec![
        group(&github, &token, idle.collect()),
        group(&github, &bob.token(), vec![waits]),
    ];
    refresh(&engine(), lease(groups)).await.found("waits");
    let requests = github.requests();
    let asked_by: Vec<_> = requests
        .iter()
        .filter_map(|request| request.login())
        .collect();
    assert_eq!(asked_by[0], "bob");
    let last = asked_by.iter().rposition(|login| *login == "bob").unwrap();
    assert!(last <= 2, "{asked_by:?}");
}

#[tokio::test]
async fn a_host_that_is_down_is_asked_a_few_times_over_rest_and_not_once_for_each_ref() {
    let (github, token) = world().await;
    github.fault(Matching::any()).respond(Fault::Reset);
    let refs = (0..30)
        .map(|index| git_ref(&format!("r{index}"), "acme/web", &format!("b{index}")))
        .collect();
    let refreshed = refresh(&refresher(), lease(vec![group(&github, &token, refs)])).await;
    let asked = github.requests().len();
    assert!(asked <= 10, "{asked}");
    assert_eq!(refreshed.outcomes.len(), asked);
    let rest = refreshed.budget.unwrap().rest.unwrap();
    assert_eq!(rest.class, ProblemClass::HostUnavailable);
}

#[tokio::test]
async fn at_the_deadline_what_was_asked_fails_and_what_was_not_stays_due() {
    let (github, token) = world().await;
    let hold = github.hold(Matching::graphql());
    let refs = (0..30)
        .map(|index| git_ref(&format!("r{index}"), "acme/web", &format!("b{index}")))
        .collect();
    let lease = lease(vec![group(&github, &token, refs)]);
    let refreshed = refresh_until(&engine(), lease, Duration::from_millis(300)).await;
    // A request is of twenty branches.
    assert_eq!(refreshed.outcomes.len(), 20);
    for name in refreshed.outcomes.keys() {
        assert_eq!(refreshed.class(name), ProblemClass::HostUnavailable);
    }
    // That is our own deadline, and no word of the host's.
    assert_eq!(refreshed.budget.and_then(|budget| budget.rest), None);
    hold.empty().await;
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_asked_once_and_what_was_not_asked_stays_due() {
    let (github, token) = world().await;
    github.fault(Matching::any()).respond(Fault::Reset);
    let refs = (0..30)
        .map(|index| git_ref(&format!("r{index}"), "acme/web", &format!("b{index}")))
        .collect();
    let refreshed = refresh(&engine(), lease(vec![group(&github, &token, refs)])).await;
    assert_eq!(refreshed.outcomes.len(), 20);
    for name in refreshed.outcomes.keys() {
        assert_eq!(refreshed.class(name), ProblemClass::HostUnavailable);
    }
    let rest = refreshed.budget.unwrap().rest.unwrap();
    assert_eq!(rest.class, ProblemClass::HostUnavailable);
    assert_eq!(github.requests().len(), 1);
}

#[tokio::test]
async fn a_slow_host_leaves_slots_to_another() {
    let (slow, token) = world().await;
    let (quick, other_token) = world().await;
    let refresher = Refresher::new(RefresherSettings {
        concurrency: 5,
        ..rest()
    });
    let refresher = refresher.unwrap();
    let refreshed = async |github: &GitHub, token: &str, key: &str| {
        let refs = vec![git_ref("r", "acme/web", "feature")];
        refresh(&refresher, lease_of(key, vec![group(github, token, refs)])).await
    };
    // From here on, there are two hosts.
    refreshed(&quick, &other_token, "known").await;
    let hold = slow.hold(Matching::any());
    let keys: Vec<String> = (0..6).map(|number| format!("slow {number}")).collect();
    let leases = keys.iter().map(|key| refreshed(&slow, &token, key));
    let (_, held) = tokio::join!(futures_util::future::join_all(leases), async {
        hold.waiting(4).await;
        let answered = refreshed(&quick, &other_token, "quick").await;
        assert_eq!(*answered.finding("r"), Finding::NoPullRequest);
        let held = hold.count();
        hold.release();
        held
    });
    assert_eq!(held, 4);
}
