//! From a branch to its pull request.

use proto::sync::{Finding, ProblemClass, PullRequestState};
use testkit::github::{API_VERSIONS, Fault, ReviewState};

use crate::support::{
    class_of, found, git_ref, group, group_at, knowing, lease, number, paths, refresh, refresh_one,
    refresher, world,
};

#[tokio::test]
async fn a_known_pull_request_is_fetched_without_resolving_its_branch() {
    let (github, token) = world().await;
    let pull = github.pull_request("acme/web").head("feature").open();
    let known = knowing(git_ref("r", "acme/web", "feature"), "acme/web", pull);
    let outcome = refresh_one(&github, &token, known).await;
    assert_eq!(found(&outcome).shown.number, number(pull));
    assert_eq!(
        paths(&github),
        ["/repos/acme/web/pulls/1", "/repos/acme/web/pulls/1/reviews"]
    );
}

#[tokio::test]
async fn a_branch_resolves_to_its_open_pull_request_as_github_documents_it() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("feature").open();
    let outcome = refresh_one(&github, &token, git_ref("r", "acme/web", "feature")).await;
    assert_eq!(found(&outcome).shown.number, 1);
    assert_eq!(outcome.fence.report_seq, 7);

    let requests = github.requests();
    let list = &requests[0];
    assert_eq!(list.path, "/repos/acme/web/pulls");
    for (name, value) in [
        ("state", "open"),
        ("head", "acme:feature"),
        ("sort", "created"),
        ("direction", "desc"),
    ] {
        assert_eq!(list.query_value(name), Some(value), "{name}");
    }
    for request in &requests {
        assert_eq!(
            request.header("accept"),
            Some("application/vnd.github+json")
        );
        assert_eq!(request.header("x-github-api-version"), Some("2026-03-10"));
        assert_eq!(
            request.header("user-agent"),
            Some(concat!("gitsync-service/", env!("CARGO_PKG_VERSION")))
        );
        assert_eq!(request.login(), Some("ann"));
    }
    assert!(github.unexpected().is_empty());
}

#[tokio::test]
async fn a_host_that_refuses_the_api_version_is_asked_without_one_from_then_on() {
    let (github, token) = world().await;
    github.set_api_versions(&API_VERSIONS[..1]);
    github.pull_request("acme/web").head("feature").open();
    let refresher = refresher();
    for refused in [1, 0] {
        github.clear_requests();
        let refs = vec![git_ref("r", "acme/web", "feature")];
        let refreshed = refresh(&refresher, lease(vec![group(&github, &token, refs)])).await;
        assert_eq!(refreshed.found("r").shown.number, 1);
        let requests = github.requests();
        let (with, without): (Vec<_>, Vec<_>) = requests
            .iter()
            .partition(|request| request.header("x-github-api-version").is_some());
        assert_eq!((with.len(), without.len()), (refused, 5));
        assert!(with.iter().all(|request| request.status == Some(400)));
        assert!(without.iter().all(|request| request.status == Some(200)));
    }
}

#[tokio::test]
async fn a_branch_without_a_pull_request_is_no_failure_and_costs_one_request() {
    let (github, token) = world().await;
    let outcome = refresh_one(&github, &token, git_ref("r", "acme/web", "feature")).await;
    assert_eq!(outcome.finding, Finding::NoPullRequest);
    assert_eq!(paths(&github), ["/repos/acme/web/pulls?head=acme:feature"]);
}

#[tokio::test]
async fn every_field_of_a_pull_request_is_filled() {
    let (github, token) = world().await;
    github
        .user("eve")
        .set_avatar_url("https://avatars.example.com/eve");
    let pull = github
        .pull_request("acme/web")
        .head("feature")
        .base("main")
        .title("Add a thing")
        .author("eve")
        .diff(10, 2, 3)
        .commits(4)
        .open();
    github.review("acme/web", pull, "bob", ReviewState::Approved);
    let outcome = refresh_one(&github, &token, git_ref("r", "acme/web", "feature")).await;
    let model = github.find_pull_request("acme/web", pull).unwrap();
    let found = found(&outcome);
    assert_eq!(found.repository, "acme/web");
    let shown = &found.shown;
    assert_eq!(shown.url, format!("{}/acme/web/pull/1", github.web_base()));
    assert_eq!(shown.state, PullRequestState::Open);
    assert_eq!(shown.title, "Add a thing");
    let head = &shown.head;
    assert_eq!(
        (
            head.additions,
            head.deletions,
            head.changed_files,
            head.commits
        ),
        (10, 2, 3, 4)
    );
    assert_eq!((&*head.branch, &*shown.base_branch), ("feature", "main"));
    assert_eq!(head.sha, model.head.sha);
    assert_eq!(shown.author_login.as_deref(), Some("eve"));
    assert_eq!(
        shown.author_avatar_url.as_deref(),
        Some("https://avatars.example.com/eve")
    );
    assert!(found.host_id.is_some());
    assert!(shown.approved && !shown.changes_requested);
    assert_eq!(shown.reviewer_count, 1);
    assert!(!shown.draft);
}

#[tokio::test]
async fn draft_merged_and_closed_are_distinguished() {
    let (github, token) = world().await;
    let draft = github.pull_request("acme/web").head("a").draft().open();
    let merged = github.pull_request("acme/web").head("b").merged();
    let closed = github.pull_request("acme/web").head("c").closed();
    for (branch, pull, state, is_draft) in [
        ("a", draft, PullRequestState::Open, true),
        ("b", merged, PullRequestState::Merged, false),
        ("c", closed, PullRequestState::Closed, false),
    ] {
        let known = knowing(git_ref("r", "acme/web", branch), "acme/web", pull);
        let outcome = refresh_one(&github, &token, known).await;
        assert_eq!(
            (found(&outcome).shown.state, found(&outcome).shown.draft),
            (state, is_draft)
        );
    }
}

#[tokio::test]
async fn a_pull_request_of_another_branch_is_looked_up_again() {
    let (github, token) = world().await;
    let old = github.pull_request("acme/web").head("old").open();
    let new = github.pull_request("acme/web").head("new").open();
    let switched = knowing(git_ref("r", "acme/web", "new"), "acme/web", old);
    let outcome = refresh_one(&github, &token, switched).await;
    assert_eq!(found(&outcome).shown.number, number(new));

    let alone = knowing(git_ref("r", "acme/web", "alone"), "acme/web", old);
    let outcome = refresh_one(&github, &token, alone).await;
    assert_eq!(outcome.finding, Finding::NoPullRequest);
}

#[tokio::test]
async fn branches_are_compared_with_their_case_and_repositories_without() {
    let (github, token) = world().await;
    let pull = github.pull_request("acme/web").head("Feature").open();
    let other_case = knowing(git_ref("r", "acme/web", "feature"), "acme/web", pull);
    let outcome = refresh_one(&github, &token, other_case).await;
    assert_eq!(outcome.finding, Finding::NoPullRequest);

    let outcome = refresh_one(&github, &token, git_ref("r", "ACME/Web", "Feature")).await;
    assert_eq!(found(&outcome).shown.number, number(pull));
    assert_eq!(found(&outcome).repository, "acme/web");
}

#[tokio::test]
async fn a_settled_pull_request_stays_until_the_branch_has_an_open_one() {
    let (github, token) = world().await;
    let merged = github.pull_request("acme/web").head("feature").merged();
    let known = || knowing(git_ref("r", "acme/web", "feature"), "acme/web", merged);
    let outcome = refresh_one(&github, &token, known()).await;
    assert_eq!(found(&outcome).shown.state, PullRequestState::Merged);

    let open = github.pull_request("acme/web").head("feature").open();
    let outcome = refresh_one(&github, &token, known()).await;
    assert_eq!(found(&outcome).shown.number, number(open));
}

#[tokio::test]
async fn a_settled_pull_request_is_never_adopted_by_its_branch_alone() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("feature").merged();
    github.pull_request("acme/web").head("feature").closed();
    let outcome = refresh_one(&github, &token, git_ref("r", "acme/web", "feature")).await;
    assert_eq!(outcome.finding, Finding::NoPullRequest);
}

#[tokio::test]
async fn of_several_open_pull_requests_the_one_with_the_highest_number_counts() {
    let (github, token) = world().await;
    github.repository("acme/web").push("release");
    let first = github.pull_request("acme/web").head("feature").open();
    let second = github
        .pull_request("acme/web")
        .head("feature")
        .base("release")
        .open();
    github.edit_pull_request("acme/web", first, |pull| pull.title.push('!'));
    let outcome = refresh_one(&github, &token, git_ref("r", "acme/web", "feature")).await;
    assert_eq!(found(&outcome).shown.number, number(second));
}

#[tokio::test]
async fn a_deleted_pull_request_is_distinguished_from_a_deleted_repository() {
    let (github, token) = world().await;
    let gone = knowing(git_ref("r", "acme/web", "feature"), "acme/web", 99);
    let outcome = refresh_one(&github, &token, gone).await;
    assert_eq!(outcome.finding, Finding::Gone);

    let nowhere = knowing(git_ref("r", "acme/api", "feature"), "acme/api", 1);
    let outcome = refresh_one(&github, &token, nowhere).await;
    assert_eq!(class_of(&outcome.finding), ProblemClass::RepositoryNotFound);

    let unseen = git_ref("r", "acme/api", "feature");
    let outcome = refresh_one(&github, &token, unseen).await;
    assert_eq!(class_of(&outcome.finding), ProblemClass::RepositoryNotFound);
}

#[tokio::test]
async fn all_pages_of_reviews_count_and_the_last_ones_most() {
    let (github, token) = world().await;
    let pull = github.pull_request("acme/web").head("feature").open();
    for _ in 0..205 {
        github.review("acme/web", pull, "bob", ReviewState::ChangesRequested);
    }
    github.review("acme/web", pull, "bob", ReviewState::Approved);
    let outcome = refresh_one(&github, &token, git_ref("r", "acme/web", "feature")).await;
    assert!(found(&outcome).shown.approved);
    assert_eq!(github.count("/pulls/1/reviews"), 3);
}

#[tokio::test]
async fn a_renamed_repository_is_followed_by_branch_and_by_number() {
    let (github, token) = world().await;
    let pull = github.pull_request("acme/web").head("feature").open();
    github.rename("acme/web", "acme/site");
    let by_branch = git_ref("r", "acme/web", "feature");
    let by_number = knowing(by_branch.clone(), "acme/web", pull);
    for git_ref in [&by_branch, &by_number] {
        let outcome = refresh_one(&github, &token, git_ref.clone()).await;
        assert_eq!(found(&outcome).shown.number, number(pull));
        assert_eq!(found(&outcome).repository, "acme/site");
    }

    github.organization("acorp");
    github.rename("acme/site", "acorp/site");
    for git_ref in [by_branch, by_number] {
        let outcome = refresh_one(&github, &token, git_ref).await;
        assert_eq!(found(&outcome).shown.number, number(pull));
        assert_eq!(
            found(&outcome).repository,
            "acorp/site",
            "{:?}",
            paths(&github)
        );
    }
}

#[tokio::test]
async fn github_enterprise_is_asked_below_its_own_path() {
    let (github, token) = world().await;
    github.set_rate_limits(false);
    github.pull_request("acme/web").head("feature").open();
    let refs = vec![git_ref("r", "acme/web", "feature")];
    let base = format!("{}/", github.enterprise_base_url());
    let refreshed = refresh(
        &refresher(),
        lease(vec![group_at(&base, Some(&token), refs)]),
    )
    .await;
    assert_eq!(refreshed.found("r").shown.number, 1);
    assert!(refreshed.budget.is_none(), "{:?}", refreshed.budget);
}

#[tokio::test]
async fn a_deleted_author_is_absent() {
    let (github, token) = world().await;
    github
        .pull_request("acme/web")
        .head("feature")
        .author("eve")
        .open();
    github.delete_user("eve");
    let outcome = refresh_one(&github, &token, git_ref("r", "acme/web", "feature")).await;
    assert_eq!(found(&outcome).shown.author_login, None);
}

#[tokio::test]
async fn branches_with_any_characters_are_found() {
    let (github, token) = world().await;
    for branch in ["feat/a+b", "ünï/cödé", "a&b=c#d", "100%25"] {
        let pull = github.pull_request("acme/web").head(branch).open();
        let outcome = refresh_one(&github, &token, git_ref("r", "acme/web", branch)).await;
        assert_eq!(found(&outcome).shown.number, number(pull), "{branch}");
        assert_eq!(found(&outcome).shown.head.branch, branch);
    }
}

/// GitHub leaves a filter out that it does not like, and then lists all.
#[tokio::test]
async fn of_a_list_that_was_not_filtered_only_the_branchs_own_counts() {
    for (branch, expected) in [("mine", Some(1)), ("none", None)] {
        let (github, token) = world().await;
        for branch in ["mine", "other"] {
            github.pull_request("acme/web").head(branch).open();
        }
        github
            .fault("/acme/web/pulls$")
            .once()
            .respond(Fault::Redirect {
                status: 307,
                location: "/repos/acme/web/pulls?state=open".to_owned(),
            });
        let outcome = refresh_one(&github, &token, git_ref("r", "acme/web", branch)).await;
        match expected {
            Some(expected) => assert_eq!(found(&outcome).shown.number, expected),
            None => assert_eq!(outcome.finding, Finding::NoPullRequest),
        }
    }
}
