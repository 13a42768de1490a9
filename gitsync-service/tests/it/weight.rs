//! Queries that are more than the host gives at once, and answers in part.

use std::time::{Duration, Instant};

use gitsync_service::{
    host::github,
    worker::{Refresher, RefresherSettings},
};
use proto::sync::{Finding, LeasedRef, ProblemClass, PullRequestState};
use testkit::github::{Barrier, Fault, GitHub, Matching, Overload, Resource};

use crate::{
    batches::{linked, operations},
    support::{
        Refreshed, class_of, engine, git_ref, group, lease, lease_of, number, patient, ref_name,
        refresh, refresh_until, world,
    },
};

const OVERLOADS: [Overload; 5] = [
    Overload::BadGateway,
    Overload::GatewayTimeout,
    Overload::NoTime,
    Overload::SomethingWrong,
    Overload::ResourceLimits,
];

/// More than a detail of one weighs, and less than one of two.
const WEIGHT_OF_ONE: u64 = 60;

async fn ask(github: &GitHub, token: &str, refs: &[LeasedRef]) -> Refreshed {
    refresh(&engine(), lease(vec![group(github, token, refs.to_vec())])).await
}

#[tokio::test]
async fn a_batch_that_is_too_heavy_is_halved_until_it_is_answered() {
    for overload in OVERLOADS {
        let (github, token) = world().await;
        let refs = linked(&github, &token, 8).await;
        github.set_weight_limit(Some(WEIGHT_OF_ONE * 2), overload);
        let refreshed = ask(&github, &token, &refs).await;
        for git_ref in &refs {
            refreshed.found(&ref_name(git_ref.id));
        }
        let asked = github.requests().len();
        assert!((3..=15).contains(&asked), "{overload:?}: {asked}");
    }
}

#[tokio::test]
async fn bisecting_finds_the_one_that_is_too_heavy_and_the_others_have_their_status() {
    for overload in OVERLOADS {
        let (github, token) = world().await;
        let refs = linked(&github, &token, 16).await;
        github.poison("acme/web", 6);
        github.set_weight_limit(None, overload);
        let refreshed = ask(&github, &token, &refs).await;
        for git_ref in &refs {
            refreshed.found(&ref_name(git_ref.id));
        }
        // REST is asked for it.
        assert_eq!(github.count("/pulls/6$"), 1, "{overload:?}");
        assert_eq!(github.count("/pulls/*$"), 1, "{overload:?}");
        let asked = github.requests().len();
        assert!(asked <= 14, "{overload:?}: {:?}", operations(&github));
    }
}

#[tokio::test]
async fn what_is_too_heavy_and_changed_is_asked_for_over_rest() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 2).await;
    github.poison("acme/web", 1);
    github.merge("acme/web", 1);
    let refreshed = ask(&github, &token, &refs).await;
    let found = refreshed.found("b0");
    assert_eq!(found.shown.state, PullRequestState::Merged);
    refreshed.found("b1");

    // Where REST does not bear it either, that is what is said of it.
    github.fault("/pulls/1$").respond(Fault::Status(502));
    let refreshed = ask(&github, &token, &refs).await;
    assert_eq!(refreshed.class("b0"), ProblemClass::QueryTooHeavy);
    refreshed.found("b1");
}

#[tokio::test]
async fn what_is_too_heavy_while_rest_is_closed_keeps_no_other_from_graphql() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 3).await;
    github.poison("acme/web", 1);
    let hour = Duration::from_secs(3600);
    github
        .budget_of("ann", Resource::Core)
        .spend_all()
        .resets_in(hour);
    let refreshed = ask(&github, &token, &refs).await;
    assert_eq!(refreshed.class("b0"), ProblemClass::QueryTooHeavy);
    refreshed.found("b1");
    let budget = refreshed.budget.as_ref().unwrap();
    assert_eq!((budget.rest, budget.pause), (None, None));
    assert!(refreshed.window("core").pause_for.is_some());
}

#[tokio::test]
async fn a_branch_that_is_too_heavy_by_itself_is_looked_up_over_rest() {
    let (github, token) = world().await;
    let heavy = github.pull_request("acme/web").head("heavy").open();
    let light = github.pull_request("acme/web").head("light").open();
    github.poison("acme/web", heavy);
    let refs = ["heavy", "light"].map(|branch| git_ref(branch, "acme/web", branch));
    let refreshed = ask(&github, &token, &refs).await;
    assert_eq!(refreshed.found("heavy").shown.number, number(heavy));
    assert_eq!(refreshed.found("light").shown.number, number(light));
}

#[tokio::test]
async fn an_overloaded_host_is_not_retried_in_a_loop() {
    for overload in OVERLOADS {
        let (github, token) = world().await;
        let refs = linked(&github, &token, 25).await;
        github
            .fault(Matching::any())
            .respond(Fault::Overloaded(overload));
        let refreshed = ask(&github, &token, &refs).await;
        assert_eq!(refreshed.outcomes.len(), 25);
        if overload == Overload::ResourceLimits {
            continue;
        }
        for git_ref in &refs {
            let class = refreshed.class(&ref_name(git_ref.id));
            assert_eq!(class, ProblemClass::HostUnavailable, "{overload:?}");
        }
        assert!(github.requests().len() <= 6, "{:?}", operations(&github));
    }
}

#[tokio::test]
async fn a_single_ref_does_not_hammer_an_overloaded_host() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 1).await;
    github
        .fault(Matching::graphql())
        .respond(Fault::Status(502));
    let refreshed = ask(&github, &token, &refs).await;
    // Twice over GraphQL, and then over REST.
    assert_eq!(refreshed.found("b0").shown.number, 1);
    assert!(github.requests().len() <= 6, "{:?}", operations(&github));
}

#[tokio::test]
async fn more_possible_nodes_than_allowed_are_asked_for_in_parts() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 20).await;
    github.set_node_limit(4000);
    let refreshed = ask(&github, &token, &refs).await;
    for git_ref in &refs {
        refreshed.found(&ref_name(git_ref.id));
    }
    let errors = github.requests();
    let errors = errors.iter().filter(|request| {
        let query = request.graphql.as_ref().unwrap();
        query.errors.contains(&"MAX_NODE_LIMIT_EXCEEDED".to_owned())
    });
    assert!((1..=3).contains(&errors.count()));
}

#[tokio::test]
async fn what_resolved_is_reported_and_only_the_rest_is_asked_again() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 8).await;
    github.set_weight_limit(Some(WEIGHT_OF_ONE * 5), Overload::ResourceLimits);
    let refreshed = ask(&github, &token, &refs).await;
    for git_ref in &refs {
        refreshed.found(&ref_name(git_ref.id));
    }
    let asked: usize = github
        .requests()
        .iter()
        .map(|request| request.graphql.as_ref().unwrap().ids)
        .sum();
    assert!(asked < 16, "{asked} ids for 8 pull requests");
}

#[tokio::test]
async fn an_answer_in_part_is_used_and_each_rest_has_its_own_reason() {
    let (github, token) = world().await;
    let ann = github.user("ann");
    let mut refs = vec![git_ref("fine", "acme/web", "feature")];
    github.pull_request("acme/web").head("feature").open();
    for (name, barrier) in [
        ("sso", Barrier::SingleSignOn),
        ("denied", Barrier::NoPermission),
        ("address", Barrier::AddressNotAllowed),
        ("blocked", Barrier::Blocked { status: 451 }),
        ("missing", Barrier::NotFound),
        ("nothing", Barrier::Null),
    ] {
        let repository = format!("acme/{name}");
        github.repository(&repository).grant(&ann);
        github.pull_request(&repository).head("feature").open();
        github.bar(&repository, barrier);
        refs.push(git_ref(name, &repository, "feature"));
        refs.push(git_ref(&format!("{name} too"), &repository, "other"));
    }
    let refreshed = ask(&github, &token, &refs).await;
    assert_eq!(refreshed.found("fine").shown.number, 1);
    for (name, class) in [
        ("sso", ProblemClass::SsoRequired),
        ("denied", ProblemClass::AccessDenied),
        ("address", ProblemClass::AddressNotAllowed),
        ("blocked", ProblemClass::RepositoryBlocked),
        ("missing", ProblemClass::RepositoryNotFound),
        ("nothing", ProblemClass::RepositoryNotFound),
    ] {
        assert_eq!(refreshed.class(name), class, "{name}");
        let too = format!("{name} too");
        assert_eq!(refreshed.class(&too), class, "{too}");
    }
    let requests = github.requests();
    assert!(requests.len() <= 2, "{:?}", operations(&github));
}

#[tokio::test]
async fn nothing_more_is_asked_of_a_repository_that_may_not_be_seen() {
    let (github, token) = world().await;
    let refs: Vec<LeasedRef> = (0..40)
        .map(|index| git_ref(&format!("r{index}"), "acme/secret", &format!("b{index}")))
        .chain([git_ref("fine", "acme/web", "feature")])
        .collect();
    let refreshed = ask(&github, &token, &refs).await;
    for index in 0..40 {
        let class = refreshed.class(&format!("r{index}"));
        assert_eq!(class, ProblemClass::RepositoryNotFound);
    }
    assert_eq!(*refreshed.finding("fine"), Finding::NoPullRequest);
    assert_eq!(operations(&github), ["Discover", "Discover"]);
}

#[tokio::test]
async fn what_is_too_heavy_beside_probes_costs_them_nothing() {
    for overload in OVERLOADS {
        let (github, token) = world().await;
        let mut refs = linked(&github, &token, 30).await;
        for git_ref in &mut refs[..10] {
            git_ref.unchanged_count = 5;
        }
        github.poison("acme/web", 4);
        github.set_weight_limit(None, overload);
        let refreshed = ask(&github, &token, &refs).await;
        for (index, git_ref) in refs.iter().enumerate() {
            let name = ref_name(git_ref.id);
            if index < 10 {
                refreshed.found(&name);
            } else {
                let finding = refreshed.finding(&name);
                assert_eq!(*finding, Finding::Unchanged, "{index}, {overload:?}");
            }
        }
    }
}

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// The host gives up on the first query.
fn give_up_once(github: &GitHub, overload: Overload) {
    let fault = github.fault(Matching::graphql()).once();
    fault.respond(Fault::Overloaded(overload));
}

#[tokio::test]
async fn a_query_that_timed_out_at_the_host_is_retried_after_a_pause() {
    const PAUSE: Duration = Duration::from_millis(300);
    const TIMEOUT: Duration = Duration::from_millis(700);
    for fault in [
        Fault::Overloaded(Overload::BadGateway),
        Fault::Overloaded(Overload::GatewayTimeout),
        Fault::Overloaded(Overload::NoTime),
        Fault::Overloaded(Overload::SomethingWrong),
        Fault::Hang,
    ] {
        let (github, token) = world().await;
        let refs = linked(&github, &token, 4).await;
        let what = format!("{fault:?}");
        let answered_after = if matches!(fault, Fault::Hang) {
            TIMEOUT
        } else {
            Duration::ZERO
        };
        github.fault(Matching::graphql()).once().respond(fault);
        let patient = Refresher::new(RefresherSettings {
            request_timeout: TIMEOUT,
            ..patient(PAUSE)
        });
        let began = Instant::now();
        let lease = lease(vec![group(&github, &token, refs.clone())]);
        let refreshed = refresh(&patient.unwrap(), lease).await;
        for git_ref in &refs {
            refreshed.found(&ref_name(git_ref.id));
        }
        assert_eq!(operations(&github), ["Detail"; 3], "{what}");
        // Once: the halves follow each other.
        let took = began.elapsed();
        assert!(took >= answered_after + PAUSE, "{what}: {took:?}");
    }
}

#[tokio::test]
async fn what_is_more_than_the_host_gives_at_once_is_asked_for_in_parts_without_waiting() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 4).await;
    give_up_once(&github, Overload::ResourceLimits);
    let lease = lease(vec![group(&github, &token, refs.clone())]);
    let refreshed = refresh(&Refresher::new(patient(FOR_EVER)).unwrap(), lease).await;
    for git_ref in &refs {
        refreshed.found(&ref_name(git_ref.id));
    }
}

#[tokio::test]
async fn one_key_waits_to_ask_again_and_no_other_waits_with_it() {
    let (github, token) = world().await;
    let bob = github.user("bob");
    github.repository("acme/web").grant(&bob);
    let refs = linked(&github, &token, 2).await;
    github
        .fault(Matching::graphql().by("ann"))
        .respond(Fault::Overloaded(Overload::BadGateway));
    let patient = Refresher::new(RefresherSettings {
        concurrency: 1,
        ..patient(FOR_EVER)
    });
    let patient = patient.unwrap();
    let of_ann = lease(vec![group(&github, &token, refs.clone())]);
    let of_bob = lease_of("bob", vec![group(&github, &bob.token(), refs)]);
    tokio::select! {
        refreshed = refresh(&patient, of_ann) => panic!("it did not wait: {refreshed:?}"),
        refreshed = async {
            github.wait_for_request(Matching::graphql().by("ann")).await;
            refresh(&patient, of_bob).await
        } => {
            refreshed.found("b1");
        }
    }
    assert_eq!(github.count(Matching::any().by("ann")), 1);
}

#[tokio::test]
async fn the_wait_for_a_query_ends_with_the_attempt() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 2).await;
    give_up_once(&github, Overload::BadGateway);
    let lease = lease(vec![group(&github, &token, refs)]);
    let patient = Refresher::new(patient(FOR_EVER)).unwrap();
    let refreshed = refresh_until(&patient, lease, Duration::from_millis(700)).await;
    assert_eq!(refreshed.outcomes.len(), 2);
    for outcome in refreshed.outcomes.values() {
        assert_eq!(class_of(&outcome.finding), ProblemClass::HostUnavailable);
    }
    assert_eq!(github.requests().len(), 1);
}

#[tokio::test]
async fn after_a_slow_answer_a_key_is_asked_first_what_changed_however_few_refs_it_has() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 5).await;
    let refresher = Refresher::new(RefresherSettings {
        github: github::Settings {
            slow_detail: Duration::from_millis(100),
            ..github::Settings::default()
        },
        ..RefresherSettings::default()
    });
    let refresher = refresher.unwrap();
    github
        .fault(Matching::graphql().operation("Detail"))
        .once()
        .respond(Fault::Delay(Duration::from_millis(150)));
    refresh(
        &refresher,
        lease(vec![group(&github, &token, refs.clone())]),
    )
    .await;
    github.repository("acme/web").push("b3");
    let refreshed = refresh(
        &refresher,
        lease(vec![group(&github, &token, refs.clone())]),
    )
    .await;
    assert_eq!(operations(&github), ["Detail", "Probe", "Detail"]);
    assert_eq!(github.requests()[2].graphql.clone().unwrap().ids, 1);
    assert_eq!(refreshed.found("b3").shown.number, 4);
    assert_eq!(*refreshed.finding("b2"), Finding::Unchanged);

    // Another key's answers may be quick.
    github.clear_requests();
    let other = lease_of("other", vec![group(&github, &token, refs)]);
    refresh(&refresher, other).await;
    assert_eq!(operations(&github), ["Detail"]);
}
