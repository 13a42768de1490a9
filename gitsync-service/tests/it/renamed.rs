//! Repositories with a new name: what is learned of it, and what it saves.

use gitsync_service::worker::Refresher;
use proto::sync::{Finding, LeasedRef, ProblemClass, Upstream};
use testkit::github::Fault;

use crate::{
    batches::{after, operations},
    support::{
        class_of, engine, found, git_ref, group, lease, path, paths, refresh, refresh_one_by,
        refresher, world,
    },
};

fn feature() -> LeasedRef {
    git_ref("r", "acme/web", "feature")
}

/// The ref as it is leased after the host reported this name.
fn called(git_ref: LeasedRef, name: &str) -> LeasedRef {
    LeasedRef {
        canonical_repository: Some(path(name)),
        ..git_ref
    }
}

fn both() -> [Refresher; 2] {
    [engine(), refresher()]
}

#[tokio::test]
async fn a_renamed_repository_is_asked_for_by_its_new_name_once_that_is_known() {
    for refresher in both() {
        let (github, token) = world().await;
        let pull = github.pull_request("acme/web").head("feature").open();
        github.rename("acme/web", "acme/site");
        let outcome = refresh_one_by(&refresher, &github, &token, feature()).await;
        assert_eq!(
            outcome.learned.canonical_repository,
            Some(path("acme/site"))
        );

        github.clear_requests();
        let known = called(feature(), "acme/site");
        let outcome = refresh_one_by(&refresher, &github, &token, known).await;
        assert_eq!(
            i64::from(found(&outcome).shown.number),
            i64::try_from(pull).unwrap()
        );
        assert_eq!(
            outcome.learned.canonical_repository, None,
            "that is no news"
        );
        let old = |path: &String| path.starts_with("/repos/acme/web");
        assert!(!paths(&github).iter().any(old), "{:?}", paths(&github));
    }
}

#[tokio::test]
async fn over_rest_a_new_name_saves_the_way_from_the_old_one() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("feature").open();
    github.rename("acme/web", "acme/site");
    let outcome = refresh_one_by(&refresher(), &github, &token, feature()).await;
    let linked = after(&outcome, feature());
    for (git_ref, expected) in [
        (
            called(feature(), "acme/site"),
            vec![
                "/repos/acme/site/pulls/1",
                "/repos/acme/site/pulls/1/reviews",
                "/repos/acme/site/pulls?head=acme:feature",
            ],
        ),
        (
            called(linked, "acme/site"),
            vec![
                "/repos/acme/site/pulls/1",
                "/repos/acme/site/pulls/1/reviews",
            ],
        ),
        (
            called(git_ref("r", "acme/web", "other"), "acme/site"),
            vec!["/repos/acme/site/pulls?head=acme:other"],
        ),
    ] {
        github.clear_requests();
        let outcome = refresh_one_by(&refresher(), &github, &token, git_ref).await;
        assert!(!matches!(outcome.finding, Finding::Failed { .. }));
        // A pull request and its reviews are asked for beside each other.
        let mut asked = paths(&github);
        asked.sort();
        assert_eq!(asked, expected);
    }
}

#[tokio::test]
async fn the_pull_request_of_a_renamed_fork_is_one_question_once_its_name_is_known() {
    let (github, token) = world().await;
    github.fork("acme/web", "ann");
    github.repository("ann/web").push("feature");
    let from_fork = github.pull_request("acme/web").from_fork("ann/web");
    from_fork.head("feature").author("ann").open();
    let reported = LeasedRef {
        upstream: Upstream::Unknown,
        ..git_ref("r", "ann/web", "feature")
    };
    let outcome = refresh_one_by(&engine(), &github, &token, reported.clone()).await;
    let linked = after(&outcome, reported);
    github.rename("ann/web", "ann/site");
    github.clear_requests();
    let outcome = refresh_one_by(&engine(), &github, &token, linked.clone()).await;
    assert_eq!(outcome.learned.canonical_repository, Some(path("ann/site")));
    let asked = operations(&github).len();
    github.clear_requests();
    let linked = called(linked, "ann/site");
    found(&refresh_one_by(&engine(), &github, &token, linked).await);
    assert_eq!(operations(&github), ["Detail"]);
    assert!(asked > 1);
}

#[tokio::test]
async fn a_name_that_leads_nowhere_any_more_gives_way_to_the_reported_one() {
    for refresher in both() {
        let (github, token) = world().await;
        github.pull_request("acme/web").head("feature").open();
        let misled = called(feature(), "acme/gone");
        let outcome = refresh_one_by(&refresher, &github, &token, misled).await;
        assert_eq!(found(&outcome).repository, "acme/web");
        assert_eq!(
            outcome.learned.canonical_repository,
            Some(path("acme/web")),
            "as it was reported"
        );

        // It may also lead on.
        github.rename("acme/web", "acme/site");
        let misled = called(feature(), "acme/gone");
        let outcome = refresh_one_by(&refresher, &github, &token, misled).await;
        assert_eq!(found(&outcome).repository, "acme/site");
        assert_eq!(
            outcome.learned.canonical_repository,
            Some(path("acme/site"))
        );
    }
}

#[tokio::test]
async fn a_ref_that_does_not_know_the_new_name_learns_it_and_is_one_lookup_with_the_others() {
    for refresher in both() {
        let (github, token) = world().await;
        github.rename("acme/web", "acme/site");
        let known = called(feature(), "acme/site");
        let mut other = git_ref("other", "acme/web", "feature");
        for round in 0..2 {
            github.clear_requests();
            let refs = vec![other.clone(), known.clone()];
            let lease = lease(vec![group(&github, &token, refs)]);
            let refreshed = refresh(&refresher, lease).await;
            for id in ["other", "r"] {
                assert_eq!(*refreshed.finding(id), Finding::NoPullRequest);
            }
            if round == 0 {
                let learned = &refreshed.outcomes["other"].learned;
                let name = learned.canonical_repository.as_ref().unwrap();
                other = called(other, name.as_str());
            } else {
                assert_eq!(github.requests().len(), 1, "{:?}", operations(&github));
            }
        }
    }
}

#[tokio::test]
async fn a_repository_that_is_found_by_no_name_is_not_found() {
    for refresher in both() {
        let (github, token) = world().await;
        github.delete_repository("acme/web");
        let misled = called(feature(), "acme/gone");
        let outcome = refresh_one_by(&refresher, &github, &token, misled).await;
        assert_eq!(class_of(&outcome.finding), ProblemClass::RepositoryNotFound);
    }
}

/// One ref was looked up before the rename, and the other reported after there was a new
/// `acme/web`.
#[tokio::test]
async fn a_new_repository_with_the_old_name_is_not_taken_for_the_renamed_one() {
    for refresher in both() {
        let (github, token) = world().await;
        github.pull_request("acme/web").head("feature").open();
        github.rename("acme/web", "acme/web-old");
        github.repository("acme/web").grant(&github.user("ann"));
        let new = github.pull_request("acme/web").head("feature");
        new.title("New").open();
        let old = called(git_ref("old", "acme/web", "feature"), "acme/web-old");
        for refs in [[old.clone(), feature()], [feature(), old.clone()]] {
            let lease = lease(vec![group(&github, &token, refs.to_vec())]);
            let refreshed = refresh(&refresher, lease).await;
            assert_eq!(refreshed.found("r").shown.title, "New");
            assert_eq!(refreshed.found("old").repository, "acme/web-old");
        }
    }
}

#[tokio::test]
async fn only_a_permanent_redirect_is_reported_as_the_new_name() {
    for (status, learned_name) in [
        (301, Some("acme/site")),
        (302, None),
        (307, None),
        (308, Some("acme/site")),
    ] {
        let (github, token) = world().await;
        let site = github.repository("acme/site");
        site.grant(&github.user("ann"));
        github.pull_request("acme/site").head("feature").open();
        for (asked, location) in [
            (
                "/acme/web/pulls$",
                "/repos/acme/site/pulls?state=open&head=acme:feature",
            ),
            ("/acme/web$", "/repos/acme/site"),
        ] {
            github.fault(asked).respond(Fault::Redirect {
                status,
                location: location.to_owned(),
            });
        }
        let outcome = refresh_one_by(&refresher(), &github, &token, feature()).await;
        assert_eq!(found(&outcome).repository, "acme/site", "{status}");
        let learned = outcome.learned.canonical_repository;
        assert_eq!(learned, learned_name.map(path), "{status}");
    }
}
