//! Which pull request is a branch's, over GraphQL.

use proto::sync::{Finding, LeasedRef, Outcome, ProblemClass, PullRequestState, Upstream};
use testkit::github::{Barrier, GitHub};

use crate::{
    batches::{after, operations},
    support::{
        class_of, engine, found, git_ref, group, knowing, lease, number, path, refresh,
        refresh_one_by, world,
    },
};

async fn ask(github: &GitHub, token: &str, git_ref: LeasedRef) -> Outcome {
    let outcome = refresh_one_by(&engine(), github, token, git_ref).await;
    assert!(github.unexpected().is_empty());
    outcome
}

/// As chat-service knows it after it was linked.
fn linked(github: &GitHub, git_ref: LeasedRef, repository: &str, pull: u64) -> LeasedRef {
    let model = github.find_pull_request(repository, pull).unwrap();
    let mut known = knowing(git_ref, repository, pull);
    let settled = if model.is_merged() {
        PullRequestState::Merged
    } else if model.is_open() {
        PullRequestState::Open
    } else {
        PullRequestState::Closed
    };
    let link = known.known.as_mut().unwrap();
    (link.host_id, link.state) = (Some(model.node_id()), settled);
    known
}

fn feature() -> LeasedRef {
    git_ref("r", "acme/web", "feature")
}

/// `ann/web`, a fork of `acme/web`, with a pull request from its branch `feature`.
pub(crate) async fn forked() -> (GitHub, String, u64) {
    let (github, token) = world().await;
    github.fork("acme/web", "ann");
    github.repository("ann/web").push("feature");
    let pull = github
        .pull_request("acme/web")
        .from_fork("ann/web")
        .head("feature")
        .author("ann")
        .open();
    (github, token, pull)
}

fn in_fork() -> LeasedRef {
    LeasedRef {
        upstream: Upstream::Unknown,
        ..git_ref("r", "ann/web", "feature")
    }
}

#[tokio::test]
async fn from_an_unknown_branch_to_its_status_is_one_round_trip() {
    let (github, token) = world().await;
    let pull = github.pull_request("acme/web").head("feature").open();
    let outcome = ask(&github, &token, feature()).await;
    assert_eq!(found(&outcome).shown.number, number(pull));
    assert_eq!(operations(&github), ["Discover"]);
}

#[tokio::test]
async fn a_forks_pull_request_is_found_upstream_in_two_round_trips() {
    let (github, token, pull) = forked().await;
    let outcome = ask(&github, &token, in_fork()).await;
    assert_eq!(found(&outcome).shown.number, number(pull));
    assert_eq!(found(&outcome).repository, "acme/web");
    assert_eq!(outcome.learned.upstream, Upstream::Of(path("acme/web")));
    assert_eq!(operations(&github), ["Discover", "Detail"]);

    github.clear_requests();
    let outcome = ask(&github, &token, after(&outcome, in_fork())).await;
    assert_eq!(found(&outcome).shown.number, number(pull));
    assert_eq!(operations(&github), ["Detail"]);
}

#[tokio::test]
async fn a_branch_of_the_same_name_in_another_fork_is_not_ours() {
    let (github, token, pull) = forked().await;
    let outcome = ask(&github, &token, feature()).await;
    assert_eq!(outcome.finding, Finding::NoPullRequest);
    let mistaken = linked(&github, feature(), "acme/web", pull);
    let outcome = ask(&github, &token, mistaken).await;
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
    let outcome = ask(&github, &token, in_fork()).await;
    assert_eq!(found(&outcome).repository, "ann/web");
    assert_eq!(found(&outcome).shown.number, number(own));
}

#[tokio::test]
async fn a_forks_branch_that_is_gone_is_looked_for_upstream() {
    let (github, token, pull) = forked().await;
    github.repository("ann/web").delete_branch("feature");
    let outcome = ask(&github, &token, in_fork()).await;
    assert_eq!(found(&outcome).shown.number, number(pull));
    assert_eq!(operations(&github), ["Discover", "Discover"]);
}

#[tokio::test]
async fn the_highest_number_of_a_branchs_open_pull_requests_counts() {
    let (github, token) = world().await;
    github.repository("acme/web").push("release");
    let first = github.pull_request("acme/web").head("feature").open();
    let second = github
        .pull_request("acme/web")
        .head("feature")
        .base("release")
        .open();
    github.edit_pull_request("acme/web", first, |pull| pull.title.push('!'));
    let outcome = ask(&github, &token, feature()).await;
    assert_eq!(found(&outcome).shown.number, number(second));
}

#[tokio::test]
async fn a_settled_pull_request_is_adopted_only_at_the_commit_that_was_pushed() {
    let (github, token) = world().await;
    let merged = github.pull_request("acme/web").head("feature").merged();
    let sha = github
        .find_pull_request("acme/web", merged)
        .unwrap()
        .head
        .sha;
    let outcome = ask(&github, &token, feature()).await;
    assert_eq!(outcome.finding, Finding::NoPullRequest);
    let at = |commit: &str| LeasedRef {
        commit: Some(commit.to_owned()),
        ..feature()
    };
    let outcome = ask(&github, &token, at("0123456789")).await;
    assert_eq!(outcome.finding, Finding::NoPullRequest);
    let outcome = ask(&github, &token, at(&sha)).await;
    assert_eq!(found(&outcome).shown.number, number(merged));
    assert_eq!(found(&outcome).shown.state, PullRequestState::Merged);
}

#[tokio::test]
async fn a_settled_pull_request_stays_until_the_reused_branch_has_an_open_one() {
    let (github, token) = world().await;
    for settled in [
        github.pull_request("acme/web").head("feature").merged(),
        github.pull_request("acme/web").head("feature").closed(),
    ] {
        let known = || linked(&github, feature(), "acme/web", settled);
        let outcome = ask(&github, &token, known()).await;
        assert_eq!(found(&outcome).shown.number, number(settled));
        let open = github.pull_request("acme/web").head("feature").open();
        let outcome = ask(&github, &token, known()).await;
        assert_eq!(found(&outcome).shown.number, number(open));
        github.close("acme/web", open);
    }
}

#[tokio::test]
async fn an_open_pull_request_that_lists_leave_out_for_a_moment_stays_linked() {
    let (github, token) = world().await;
    let pull = github.pull_request("acme/web").head("feature").open();
    github.bar(&format!("acme/web#{pull}"), Barrier::Unlisted);
    let outcome = ask(&github, &token, feature()).await;
    assert_eq!(outcome.finding, Finding::NoPullRequest, "it was unknown");
    let known = linked(&github, feature(), "acme/web", pull);
    let outcome = ask(&github, &token, known).await;
    assert_eq!(found(&outcome).shown.number, number(pull));
}

#[tokio::test]
async fn a_pull_request_of_another_branch_is_looked_up_again() {
    let (github, token) = world().await;
    let old = github.pull_request("acme/web").head("old").open();
    let known = || linked(&github, feature(), "acme/web", old);
    let outcome = ask(&github, &token, known()).await;
    assert_eq!(outcome.finding, Finding::NoPullRequest);
    let new = github.pull_request("acme/web").head("feature").open();
    let outcome = ask(&github, &token, known()).await;
    assert_eq!(found(&outcome).shown.number, number(new));
}

#[tokio::test]
async fn a_renamed_repository_is_followed_by_id_by_number_and_by_branch() {
    let (github, token) = world().await;
    let pull = github.pull_request("acme/web").head("feature").open();
    let by_id = linked(&github, feature(), "acme/web", pull);
    github.organization("acorp");
    github.rename("acme/web", "acorp/site");
    let by_number = knowing(feature(), "acme/web", pull);
    for git_ref in [by_id, by_number, feature()] {
        github.clear_requests();
        let outcome = ask(&github, &token, git_ref).await;
        assert_eq!(found(&outcome).shown.number, number(pull));
        assert_eq!(found(&outcome).repository, "acorp/site");
        assert_eq!(github.requests().len(), 1, "{:?}", operations(&github));
    }
}

#[tokio::test]
async fn a_renamed_fork_keeps_its_pull_request() {
    let (github, token, pull) = forked().await;
    let known = linked(&github, in_fork(), "acme/web", pull);
    github.rename("ann/web", "ann/site");
    let outcome = ask(&github, &token, known).await;
    assert_eq!(found(&outcome).shown.number, number(pull));
}

#[tokio::test]
async fn a_merged_pull_request_outlives_its_fork() {
    let (github, token, pull) = forked().await;
    github.merge("acme/web", pull);
    let known = linked(&github, in_fork(), "acme/web", pull);
    github.delete_repository("ann/web");
    let outcome = ask(&github, &token, known).await;
    assert_eq!(found(&outcome).shown.state, PullRequestState::Merged);
}

#[tokio::test]
async fn a_null_in_place_of_a_pull_request_is_confirmed_by_its_number() {
    let (github, token) = world().await;
    let pulls = ["a", "b", "c"].map(|branch| github.pull_request("acme/web").head(branch).open());
    // Two are missing, and whether that leaves gaps in the answer is the host's choice.
    github
        .bar(&format!("acme/web#{}", pulls[0]), Barrier::Null)
        .times(1);
    github.bar(&format!("acme/web#{}", pulls[1]), Barrier::NotFound);
    let refs = ["a", "b", "c"].iter().zip(pulls).map(|(branch, pull)| {
        linked(
            &github,
            git_ref(branch, "acme/web", branch),
            "acme/web",
            pull,
        )
    });
    let lease = lease(vec![group(&github, &token, refs.collect())]);
    let refreshed = refresh(&engine(), lease).await;
    assert_eq!(refreshed.found("a").shown.number, number(pulls[0]));
    assert_eq!(*refreshed.finding("b"), Finding::Gone);
    assert_eq!(refreshed.found("c").shown.number, number(pulls[2]));
    assert_eq!(operations(&github), ["Detail", "Numbers"]);
}

#[tokio::test]
async fn a_deleted_pull_request_is_distinguished_from_a_deleted_repository() {
    let (github, token) = world().await;
    let gone = |repository: &str| {
        let mut gone = knowing(
            LeasedRef {
                repository: path(repository),
                ..feature()
            },
            repository,
            99,
        );
        gone.known.as_mut().unwrap().host_id = Some("PR_kwDOFFFFFFFF".to_owned());
        gone
    };
    let outcome = ask(&github, &token, gone("acme/web")).await;
    assert_eq!(outcome.finding, Finding::Gone);
    let outcome = ask(&github, &token, gone("acme/api")).await;
    assert_eq!(class_of(&outcome.finding), ProblemClass::RepositoryNotFound);
}

#[tokio::test]
async fn a_pull_request_that_was_just_created_is_not_ready_and_not_gone() {
    let (github, token, pull) = forked().await;
    github
        .bar(&format!("acme/web#{pull}"), Barrier::NotFound)
        .times(2);
    // Neither by its id nor by its number.
    let outcome = ask(&github, &token, in_fork()).await;
    assert_eq!(class_of(&outcome.finding), ProblemClass::NotReady);
    let outcome = ask(&github, &token, in_fork()).await;
    assert_eq!(found(&outcome).shown.number, number(pull));
}

#[tokio::test]
async fn branches_with_any_characters_are_found() {
    let (github, token) = world().await;
    for branch in ["feat/a+b", "ünï/cödé", "a\"b}c#d", "$owner0"] {
        let pull = github.pull_request("acme/web").head(branch).open();
        let outcome = ask(&github, &token, git_ref("r", "acme/web", branch)).await;
        assert_eq!(found(&outcome).shown.number, number(pull), "{branch}");
    }
}

#[tokio::test]
async fn github_enterprise_is_asked_beside_its_rest_interface() {
    let (github, token) = world().await;
    github.set_rate_limits(false);
    github.pull_request("acme/web").head("feature").open();
    for base in [
        github.enterprise_base_url(),
        format!("{}/", github.enterprise_base_url()),
    ] {
        let group = crate::support::group_at(&base, Some(&token), vec![feature()]);
        let refreshed = refresh(&engine(), lease(vec![group])).await;
        assert_eq!(refreshed.found("r").shown.number, 1);
    }
    assert_eq!(operations(&github), ["Discover", "Discover"]);
}

#[tokio::test]
async fn a_branch_whose_name_many_forks_use_has_an_answer() {
    let (github, token) = world().await;
    github.repository("acme/web").push("patch-1");
    for fork in ["bo", "cy", "di", "ed", "fay"] {
        let repository = format!("{fork}/web");
        github.fork("acme/web", fork);
        github.repository(&repository).push("patch-1");
        github
            .pull_request("acme/web")
            .from_fork(&repository)
            .head("patch-1")
            .author(fork)
            .open();
    }
    let outcome = ask(&github, &token, git_ref("r", "acme/web", "patch-1")).await;
    assert_eq!(outcome.finding, Finding::NoPullRequest);
}

#[tokio::test]
async fn a_branch_that_was_merged_many_times_has_an_answer() {
    let (github, token) = world().await;
    for _ in 0..5 {
        let pull = github.pull_request("acme/web").head("develop").open();
        github.merge("acme/web", pull);
    }
    github.repository("acme/web").push("develop");
    let pushed = LeasedRef {
        commit: Some("f".repeat(40)),
        ..git_ref("r", "acme/web", "develop")
    };
    let outcome = ask(&github, &token, pushed).await;
    assert_eq!(outcome.finding, Finding::NoPullRequest);
}
