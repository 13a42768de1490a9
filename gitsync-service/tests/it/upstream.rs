//! Branches of forks, whose pull requests are in another repository.

use proto::sync::{Finding, LeasedRef, PullRequestState, Upstream};
use testkit::github::Barrier;

use crate::branches::forked;
use crate::support::{found, git_ref, knowing, number, path, paths, ref_name, refresh_one, world};

fn unexplored(branch: &str) -> LeasedRef {
    LeasedRef {
        upstream: Upstream::Unknown,
        ..git_ref("r", "ann/web", branch)
    }
}

#[tokio::test]
async fn a_forks_pull_request_is_found_upstream_and_the_way_is_remembered() {
    let (github, token, pull) = forked().await;
    let outcome = refresh_one(&github, &token, unexplored("feature")).await;
    assert_eq!(found(&outcome).shown.number, number(pull));
    assert_eq!(found(&outcome).repository, "acme/web");
    assert_eq!(outcome.learned.upstream, Upstream::Of(path("acme/web")));
    let mut asked = paths(&github);
    // A pull request and its reviews are asked for beside each other.
    asked[3..].sort();
    assert_eq!(
        asked,
        [
            "/repos/ann/web/pulls?head=ann:feature",
            "/repos/ann/web",
            "/repos/acme/web/pulls?head=ann:feature",
            "/repos/acme/web/pulls/1",
            "/repos/acme/web/pulls/1/reviews",
        ]
    );

    github.clear_requests();
    let remembered = LeasedRef {
        upstream: Upstream::Of(path("acme/web")),
        ..unexplored("feature")
    };
    let outcome = refresh_one(&github, &token, remembered).await;
    assert_eq!(found(&outcome).shown.number, number(pull));
    assert!(!paths(&github).contains(&"/repos/ann/web".to_owned()));
}

#[tokio::test]
async fn a_known_pull_request_of_a_fork_is_fetched_upstream() {
    let (github, token, pull) = forked().await;
    let known = knowing(unexplored("feature"), "acme/web", pull);
    let outcome = refresh_one(&github, &token, known).await;
    assert_eq!(found(&outcome).shown.number, number(pull));
    assert_eq!(
        paths(&github),
        ["/repos/acme/web/pulls/1", "/repos/acme/web/pulls/1/reviews"]
    );
}

#[tokio::test]
async fn a_repository_that_is_no_fork_is_asked_about_once_and_remembered_as_none() {
    let (github, token) = world().await;
    let outcome = refresh_one(
        &github,
        &token,
        LeasedRef {
            upstream: Upstream::Unknown,
            ..git_ref("r", "acme/web", "feature")
        },
    )
    .await;
    assert_eq!(outcome.finding, Finding::NoPullRequest);
    assert_eq!(outcome.learned.upstream, Upstream::NoFork);
}

#[tokio::test]
async fn a_branch_of_the_same_name_in_another_fork_is_not_ours() {
    let (github, token, pull) = forked().await;
    // The repository itself has a branch of that name, without a pull request.
    let outcome = refresh_one(&github, &token, git_ref("r", "acme/web", "feature")).await;
    assert_eq!(outcome.finding, Finding::NoPullRequest);
    let mistaken = knowing(git_ref("r", "acme/web", "feature"), "acme/web", pull);
    let outcome = refresh_one(&github, &token, mistaken).await;
    assert_eq!(outcome.finding, Finding::NoPullRequest);
}

#[tokio::test]
async fn a_pull_request_in_the_forks_own_repository_comes_first() {
    let (github, token, _) = forked().await;
    let own = github
        .pull_request("ann/web")
        .head("feature")
        .author("ann")
        .open();
    let outcome = refresh_one(&github, &token, unexplored("feature")).await;
    assert_eq!(found(&outcome).repository, "ann/web");
    assert_eq!(found(&outcome).shown.number, number(own));
}

#[tokio::test]
async fn a_merged_pull_request_outlives_its_fork() {
    let (github, token, pull) = forked().await;
    github.merge("acme/web", pull);
    github.delete_repository("ann/web");
    let known = knowing(unexplored("feature"), "acme/web", pull);
    let outcome = refresh_one(&github, &token, known).await;
    assert_eq!(found(&outcome).shown.state, PullRequestState::Merged);
}

#[tokio::test]
async fn a_remembered_upstream_that_is_gone_is_asked_for_again() {
    let (github, token, pull) = forked().await;
    let misled = LeasedRef {
        upstream: Upstream::Of(path("acme/gone")),
        ..unexplored("feature")
    };
    let outcome = refresh_one(&github, &token, misled).await;
    assert_eq!(found(&outcome).shown.number, number(pull));
    assert_eq!(outcome.learned.upstream, Upstream::Of(path("acme/web")));
}

#[tokio::test]
async fn a_problem_that_may_be_of_another_repository_is_the_refs_alone() {
    let (github, token) = world().await;
    github.repository("acme/old").public();
    github.bar("acme/old", Barrier::Blocked { status: 451 });
    let refs = [
        git_ref("own", "acme/none", "a"),
        knowing(git_ref("upstream", "ann/web", "b"), "acme/none", 7),
        LeasedRef {
            upstream: Upstream::Of(path("acme/web")),
            ..git_ref("fork", "ann/none", "c")
        },
        LeasedRef {
            canonical_repository: Some(path("acme/old")),
            ..git_ref("renamed", "acme/web", "d")
        },
    ];
    for git_ref in refs {
        let name = ref_name(git_ref.id);
        let outcome = refresh_one(&github, &token, git_ref).await;
        let Finding::Failed {
            repository_wide, ..
        } = outcome.finding
        else {
            panic!("{name}: {outcome:?}");
        };
        assert_eq!(repository_wide, name == "own", "{name}");
    }
}
