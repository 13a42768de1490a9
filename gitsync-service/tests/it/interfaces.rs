//! One model, two interfaces: whatever GitHub is asked over, a ref has the same finding.
//!
//! Each row sets up a world and a ref, looks the ref up over GraphQL and over REST in each version
//! of its API, and expects the same of all, in one spelling: which pull request, in what state, by
//! whom, how it is reviewed, what is wrong.

mod checks;
mod evidence;
mod people;
mod places;
mod problems;
mod states;
mod whose;

use proto::sync::{Finding, LeasedRef, Outcome, ProblemName as _, PullRequestState, Upstream};
use testkit::github::{API_VERSIONS, GitHub, NewPullRequest};

use crate::{
    batches::after,
    support::{
        engine, git_ref, group, in_both_interfaces, knowing, lease, path, ref_name, refresh,
        refresher, world,
    },
};

/// What is looked up in a world that the row made.
type Scene = fn(&GitHub) -> LeasedRef;

/// A row: its name, its scene, and the expected summary: see [`summary`].
type Row = (&'static str, Scene, &'static str);

const WEB: &str = "acme/web";

fn feature() -> LeasedRef {
    git_ref("r", WEB, "feature")
}

/// A pull request from `feature` into `acme/web`, to be opened.
fn pull(github: &GitHub) -> NewPullRequest {
    github.pull_request(WEB).head("feature").author("ann")
}

/// The ref as it is once the pull request is linked to it, by its id.
fn linked(github: &GitHub, git_ref: LeasedRef, repository: &str, pull: u64) -> LeasedRef {
    let model = github.find_pull_request(repository, pull).unwrap();
    let mut linked = knowing(git_ref, repository, pull);
    let known = linked.known.as_mut().unwrap();
    known.host_id = Some(model.node_id());
    known.state = if model.is_merged() {
        PullRequestState::Merged
    } else if model.is_open() {
        PullRequestState::Open
    } else {
        PullRequestState::Closed
    };
    linked
}

/// The ref as it is leased after the host reported this name.
fn called(git_ref: LeasedRef, name: &str) -> LeasedRef {
    LeasedRef {
        canonical_repository: Some(path(name)),
        ..git_ref
    }
}

/// What was found in one line: state, place, author, and reviews, with how many that are named ask
/// for changes; or what else is said.
fn summary(outcome: &Outcome) -> String {
    let found = match &outcome.finding {
        Finding::PullRequest(found) => found,
        Finding::Unchanged => return "unchanged".to_owned(),
        Finding::NoPullRequest => return "none".to_owned(),
        Finding::Gone => return "gone".to_owned(),
        Finding::Failed {
            class,
            repository_wide,
        } => {
            let of = if *repository_wide {
                "repository"
            } else {
                "ref"
            };
            return format!("{of} {}", class.name());
        }
    };
    let shown = &found.shown;
    let mut words = vec![
        shown.state.name().to_owned(),
        format!("{}#{}", found.repository, shown.number),
    ];
    let author = shown.author_login.as_deref();
    words.push(format!("by {}", author.unwrap_or("-")));
    if shown.draft {
        words.push("draft".to_owned());
    }
    if shown.changes_requested {
        let reviews = shown.progress.change_requests.len();
        words.push(format!("changes requested in {reviews}"));
    }
    if shown.approved {
        words.push("approved".to_owned());
    }
    if shown.reviewer_count > 0 {
        words.push(format!("{} reviewers", shown.reviewer_count));
    }
    match shown.pushed_after_merge {
        Some(true) => words.push("pushed since".to_owned()),
        Some(false) => words.push("the last push is in it".to_owned()),
        None => {}
    }
    words.join(", ")
}

/// What comes of a ref over GraphQL, what over REST, and what over REST of a host that has but the
/// first version of its API.
async fn looked_up(github: &GitHub, token: &str, git_ref: &LeasedRef) -> [Outcome; 3] {
    let mut outcomes = Vec::new();
    for (refresher, versions) in [
        (engine(), &API_VERSIONS[..]),
        (refresher(), &API_VERSIONS[..]),
        (refresher(), &API_VERSIONS[..1]),
    ] {
        github.set_api_versions(versions);
        let lease = lease(vec![group(github, token, vec![git_ref.clone()])]);
        let mut refreshed = refresh(&refresher, lease).await;
        let outcome = refreshed.outcomes.remove(&ref_name(git_ref.id));
        outcomes.push(outcome.unwrap());
    }
    outcomes.try_into().unwrap()
}

async fn agree(rows: Vec<Row>) -> usize {
    agree_on(rows, summary).await
}

async fn agree_on(rows: Vec<Row>, summary: fn(&Outcome) -> String) -> usize {
    let count = rows.len();
    for (name, scene, expected) in rows {
        let (github, token) = world().await;
        let git_ref = scene(&github);
        let [over_graphql, over_rest, over_older_rest] = looked_up(&github, &token, &git_ref).await;
        assert_eq!(summary(&over_graphql), expected, "{name}, over GraphQL");
        assert_eq!(summary(&over_rest), expected, "{name}, over REST");
        assert_eq!(
            summary(&over_older_rest),
            expected,
            "{name}, over older REST"
        );
        assert_eq!(
            in_both_interfaces(&over_graphql.finding),
            in_both_interfaces(&over_rest.finding),
            "{name}"
        );
        assert_eq!(over_older_rest.finding, over_rest.finding, "{name}");
        let [graphql, rest] = [&over_graphql, &over_rest].map(|outcome| &outcome.learned);
        // REST finds out what a repository is a fork of only where that is of use.
        if rest.upstream != Upstream::Unknown {
            assert_eq!(graphql.upstream, rest.upstream, "{name}");
        }
        assert_eq!(
            graphql.canonical_repository, rest.canonical_repository,
            "{name}"
        );
        assert!(github.unexpected().is_empty(), "{name}");
    }
    count
}

#[tokio::test]
async fn a_pull_request_in_any_state_is_the_same_over_both_interfaces() {
    assert!(agree(states::rows()).await >= 20);
}

#[tokio::test]
async fn a_pull_request_in_any_place_is_the_same_over_both_interfaces() {
    assert!(agree(places::rows()).await >= 26);
}

/// Promise 14.
#[tokio::test]
async fn the_pull_request_that_is_shown_is_the_branchs_own() {
    assert!(agree(whose::rows()).await >= 18);
    assert!(agree(evidence::rows()).await >= 17);
}

#[tokio::test]
async fn authors_and_reviews_are_the_same_over_both_interfaces() {
    assert!(agree(people::rows()).await >= 16);
}

#[tokio::test]
async fn checks_and_what_keeps_from_merging_are_the_same_over_both_interfaces() {
    assert!(agree_on(checks::rows(), checks::summary).await >= 24);
}

#[tokio::test]
async fn a_problem_is_the_same_over_both_interfaces() {
    assert!(agree(problems::rows()).await >= 16);
}

/// A ref that changes from one interface to the other shows no change.
#[tokio::test]
async fn what_one_interface_found_is_unchanged_or_the_same_over_the_other() {
    let (github, token) = world().await;
    pull(&github).open();
    for outcome in looked_up(&github, &token, &feature()).await {
        let linked = after(&outcome, feature());
        for again in looked_up(&github, &token, &linked).await {
            if again.finding != Finding::Unchanged {
                let [again, first] = [&again, &outcome].map(|of| in_both_interfaces(&of.finding));
                assert_eq!(again, first);
            }
        }
    }
}
