//! The diff that a person waits for, beside the outcome of its ref.

use std::time::Duration;

use gitsync_service::worker::Refresher;
use proto::{
    bounds::MAX_DIFF_BYTES,
    chat::v1 as pb,
    sync::{Diff, DiffResult, LeasedRef, ProblemClass, Upstream},
};
use testkit::github::{Fault, GitHub, Matching, Resource};

use crate::{
    stack::{FENCE, Stack},
    support::{
        Refreshed, engine, git_ref, group, group_at, knowing, lease, refresh, refresher, world,
    },
    sync_server::Failure,
};

const DIFF_MEDIA_TYPE: &str = "application/vnd.github.diff";

/// A ref whose diff is wanted.
fn wanted() -> LeasedRef {
    wanted_of("acme/web")
}

fn wanted_of(repository: &str) -> LeasedRef {
    LeasedRef {
        diff_wanted: true,
        ..git_ref("r", repository, "feature")
    }
}

async fn ask(refresher: &Refresher, github: &GitHub, token: &str, git_ref: LeasedRef) -> Refreshed {
    refresh(refresher, lease(vec![group(github, token, vec![git_ref])])).await
}

/// Over GraphQL, and over REST alone.
fn both() -> [Refresher; 2] {
    [engine(), refresher()]
}

fn found(refreshed: &Refreshed) -> (&Diff, String) {
    let DiffResult::Found(diff) = &refreshed.diffs["r"] else {
        panic!("the diff should be there, but: {:?}", refreshed.diffs);
    };
    (diff, String::from_utf8(diff.content.to_vec()).unwrap())
}

/// The class of a diff that failed, and whether that says when to come back.
fn failure(refreshed: &Refreshed) -> (ProblemClass, bool) {
    let DiffResult::Failed { class, retry_after } = &refreshed.diffs["r"] else {
        panic!("it should have failed, but: {:?}", refreshed.diffs);
    };
    (*class, retry_after.is_some())
}

/// The paths that diffs were asked at.
fn asked(github: &GitHub) -> Vec<String> {
    let requests = github.requests();
    let diffs = requests
        .iter()
        .filter(|request| request.header("accept") == Some(DIFF_MEDIA_TYPE));
    diffs.map(|request| request.path.clone()).collect()
}

#[tokio::test]
async fn the_diff_of_a_pull_request_is_of_the_one_that_the_lookup_found() {
    for refresher in both() {
        let (github, token) = world().await;
        let head = github.repository("acme/web").push("feature");
        let open = github.pull_request("acme/web").head("feature").open();
        let refreshed = ask(&refresher, &github, &token, wanted()).await;
        let (diff, text) = found(&refreshed);
        assert!(
            text.starts_with("diff --git a/feature.txt b/feature.txt\n"),
            "{text}"
        );
        assert!(text.contains(&format!("\n+{head}\n")), "{text}");
        assert_eq!(diff.pr_number, Some(1));
        assert_eq!(diff.base_branch.as_deref(), Some("main"));
        assert_eq!(diff.head_sha.as_deref(), Some(head.as_str()));
        refreshed.found("r");
        assert_eq!(asked(&github), ["/repos/acme/web/pulls/1"]);

        github.merge("acme/web", open);
        github.repository("acme/web").delete_branch("feature");
        let known = LeasedRef {
            diff_wanted: true,
            ..knowing(git_ref("r", "acme/web", "feature"), "acme/web", open)
        };
        let refreshed = ask(&refresher, &github, &token, known).await;
        assert!(
            found(&refreshed).1.contains(&format!("\n+{head}\n")),
            "merged"
        );
    }
}

#[tokio::test]
async fn a_ref_whose_diff_is_not_wanted_costs_no_request_for_it() {
    for refresher in both() {
        let (github, token) = world().await;
        github.pull_request("acme/web").head("feature").open();
        let git_ref = git_ref("r", "acme/web", "feature");
        let refreshed = ask(&refresher, &github, &token, git_ref).await;
        refreshed.found("r");
        assert!(refreshed.diffs.is_empty());
        assert_eq!(asked(&github), [""; 0]);
    }
}

#[tokio::test]
async fn a_branch_without_a_pull_request_is_compared_with_where_one_would_go() {
    for refresher in both() {
        let (github, token) = world().await;
        github.repository("acme/web").default_branch("trunk");
        let head = github.repository("acme/web").push("feature");
        let refreshed = ask(&refresher, &github, &token, wanted()).await;
        let (diff, text) = found(&refreshed);
        assert!(text.contains(&format!("\n+{head}\n")), "{text}");
        assert_eq!(
            (diff.pr_number, diff.base_branch.as_deref()),
            (None, Some("trunk"))
        );
        assert_eq!(asked(&github), ["/repos/acme/web/compare/trunk...feature"]);

        // A fork's goes to what it is a fork of.
        github.fork("acme/web", "ann").push("feature");
        github.clear_requests();
        let fork = LeasedRef {
            upstream: Upstream::Unknown,
            ..wanted_of("ann/web")
        };
        let refreshed = ask(&refresher, &github, &token, fork).await;
        assert_eq!(found(&refreshed).0.base_branch.as_deref(), Some("trunk"));
        assert_eq!(
            asked(&github),
            ["/repos/acme/web/compare/trunk...ann:feature"]
        );

        // One that is as the default branch has no difference.
        let same = LeasedRef {
            diff_wanted: true,
            ..git_ref("r", "acme/web", "trunk")
        };
        let refreshed = ask(&refresher, &github, &token, same).await;
        assert_eq!(found(&refreshed).1, "");
    }
}

#[tokio::test]
async fn the_pull_request_of_a_fork_has_its_diff_from_the_repository_that_it_is_in() {
    for refresher in both() {
        let (github, token) = world().await;
        let head = github.fork("acme/web", "ann").push("feature");
        let pull = github.pull_request("acme/web").from_fork("ann/web");
        pull.head("feature").open();
        let fork = LeasedRef {
            upstream: Upstream::Unknown,
            ..wanted_of("ann/web")
        };
        let refreshed = ask(&refresher, &github, &token, fork).await;
        assert!(found(&refreshed).1.contains(&format!("\n+{head}\n")));
        assert_eq!(asked(&github), ["/repos/acme/web/pulls/1"]);
    }
}

#[tokio::test]
async fn a_branch_that_is_gone_has_no_diff() {
    for refresher in both() {
        let (github, token) = world().await;
        let refreshed = ask(&refresher, &github, &token, wanted()).await;
        assert_eq!(refreshed.diffs["r"], DiffResult::Missing);
    }
}

#[tokio::test]
async fn a_diff_of_four_mebibytes_is_read_and_of_one_with_a_byte_more_no_byte_beyond() {
    let (github, token) = world().await;
    let repository = github.repository("acme/web");
    repository.push("feature");
    for pull_request in [false, true] {
        if pull_request {
            github.pull_request("acme/web").head("feature").open();
        }
        repository.diff_length("feature", MAX_DIFF_BYTES);
        let refreshed = ask(&engine(), &github, &token, wanted()).await;
        assert_eq!(found(&refreshed).0.content.len(), MAX_DIFF_BYTES);
        repository.diff_length("feature", MAX_DIFF_BYTES + 1);
        let refreshed = ask(&engine(), &github, &token, wanted()).await;
        assert_eq!(refreshed.diffs["r"], DiffResult::TooLarge);
        assert!(!refreshed.is_unsent("r"), "its lookup has an outcome");
    }
}

#[tokio::test]
async fn a_diff_that_the_host_does_not_make_for_its_size_is_too_large() {
    for (additions, files) in [(10, 301), (20_001, 3)] {
        let (github, token) = world().await;
        let pull = github.pull_request("acme/web").head("feature");
        pull.diff(additions, 0, files).open();
        let refreshed = ask(&engine(), &github, &token, wanted()).await;
        assert_eq!(refreshed.diffs["r"], DiffResult::TooLarge);
    }
    let (github, token) = world().await;
    github.pull_request("acme/web").head("feature").open();
    github.fault("/pulls/1").respond(Fault::Unprocessable);
    let refreshed = ask(&engine(), &github, &token, wanted()).await;
    assert_eq!(refreshed.diffs["r"], DiffResult::TooLarge);
}

#[tokio::test]
async fn a_redirect_of_a_diff_is_followed_at_the_same_host_and_never_to_another() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("feature").open();
    let moved = github.repository("acme/site").public().push("moved");
    github.pull_request("acme/site").head("moved").open();
    github.fault("/acme/web/pulls/1").respond(Fault::Redirect {
        status: 301,
        location: "/repos/acme/site/pulls/1".to_owned(),
    });
    let refreshed = ask(&engine(), &github, &token, wanted()).await;
    assert!(found(&refreshed).1.contains(&format!("\n+{moved}\n")));

    github.clear_faults();
    let elsewhere = GitHub::start().await;
    github.fault("/pulls/1").respond(Fault::RedirectHost {
        status: 302,
        base: elsewhere.api_base_url(),
    });
    let refreshed = ask(&engine(), &github, &token, wanted()).await;
    assert_eq!(
        failure(&refreshed),
        (ProblemClass::HostAnswerInvalid, false)
    );
    assert_eq!(elsewhere.requests().len(), 0, "another host was dialled");
}

#[tokio::test]
async fn each_failure_of_a_diff_has_its_class_and_costs_the_lookup_nothing() {
    let secondary = Fault::SecondaryLimit {
        status: 403,
        retry_after: Some(60),
    };
    for (fault, class, says_when) in [
        (Fault::Status(503), ProblemClass::HostUnavailable, false),
        (Fault::Reset, ProblemClass::HostUnavailable, false),
        (Fault::HalfBody, ProblemClass::HostAnswerInvalid, false),
        (Fault::Forbidden, ProblemClass::AccessDenied, false),
        (Fault::SsoRequired, ProblemClass::SsoRequired, false),
        (
            Fault::Blocked { status: 451 },
            ProblemClass::RepositoryBlocked,
            false,
        ),
        (secondary, ProblemClass::SecondaryLimited, true),
    ] {
        let (github, token) = world().await;
        github.pull_request("acme/web").head("feature").open();
        github.fault("/pulls/1").respond(fault.clone());
        let refreshed = ask(&engine(), &github, &token, wanted()).await;
        assert_eq!(failure(&refreshed), (class, says_when), "{fault:?}");
        refreshed.found("r");
    }
}

#[tokio::test]
async fn of_a_spent_window_a_diff_says_when_it_ends_and_lookups_go_on() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("feature").open();
    let hour = Duration::from_secs(3600);
    let core = github.budget_of("ann", Resource::Core);
    core.spend_all().resets_in(hour);
    let refresher = engine();
    let refreshed = ask(&refresher, &github, &token, wanted()).await;
    let DiffResult::Failed {
        class: ProblemClass::RateLimited,
        retry_after: Some(after),
    } = refreshed.diffs["r"]
    else {
        panic!("{:?}", refreshed.diffs);
    };
    assert!(after > hour / 2 && after < hour * 2, "{after:?}");
    refreshed.found("r");
    assert_eq!(refreshed.budget.unwrap().pause, None);
}

#[tokio::test]
async fn a_ref_that_was_not_looked_up_has_no_diff_and_one_that_failed_has_its_class() {
    let (github, token) = world().await;
    let refreshed = ask(&engine(), &github, &token, wanted_of("acme/none")).await;
    assert_eq!(
        failure(&refreshed),
        (ProblemClass::RepositoryNotFound, false)
    );
    let unlinked = group_at(&github.api_base_url(), None, vec![wanted()]);
    let refreshed = refresh(&engine(), lease(vec![unlinked])).await;
    assert_eq!(failure(&refreshed), (ProblemClass::NoAccount, false));

    github.pull_request("acme/web").head("feature").open();
    for resource in [Resource::Graphql, Resource::Core] {
        let budget = github.budget_of("ann", resource);
        budget.spend_all().resets_in(Duration::from_secs(3600));
    }
    let refreshed = ask(&engine(), &github, &token, wanted()).await;
    assert!(refreshed.is_unsent("r") && refreshed.diffs.is_empty());
}

#[tokio::test]
async fn an_enterprise_host_of_the_former_version_gives_diffs_too() {
    let (github, token) = world().await;
    github.set_api_versions(&["2022-11-28"]);
    github.repository("acme/web").push("feature");
    let base = github.enterprise_base_url();
    for pull_request in [false, true] {
        if pull_request {
            github.pull_request("acme/web").head("feature").open();
        }
        let refs = vec![wanted()];
        let refreshed = refresh(&engine(), lease(vec![group_at(&base, Some(&token), refs)])).await;
        assert_eq!(found(&refreshed).0.pr_number.is_some(), pull_request);
    }
}

fn wanted_lease(stack: &Stack) -> pb::Lease {
    let mut lease = stack.lease("lease", &["a"]);
    lease.groups[0].refs[0].diff_wanted = true;
    lease
}

#[tokio::test]
async fn a_diff_is_reported_before_the_outcome_that_ends_the_wait_for_it() {
    Stack::run(async |stack| {
        stack.github.pull_request("acme/web").head("a").open();
        stack.chat().fail("diff", &[Failure::LoseAnswer]);
        stack.chat().queue(wanted_lease(stack));
        stack.start_worker();
        stack.applied("a").await;
        let diffs = stack.chat().diffs();
        assert_eq!(diffs.len(), 2, "repeated until it is answered");
        assert!(diffs[0] == diffs[1]);
        assert_eq!(diffs[0].fence, Some(FENCE));
        let Some(pb::report_diff_request::Result::Found(diff)) = &diffs[0].result else {
            panic!("{diffs:?}");
        };
        assert_eq!(diff.pr_number, Some(1));
        let order = stack.chat().order();
        let place = |name| order.iter().position(|call| *call == name);
        assert!(place("diff") < place("report"), "{order:?}");
        assert_eq!(stack.chat().calls("diff").len(), 2);
        stack.released("lease").await;
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_is_lost_with_a_diff_on_its_way_reports_nothing_more() {
    Stack::run(async |stack| {
        stack.github.pull_request("acme/web").head("a").open();
        stack.chat().fail("diff", &[Failure::LeaseLost]);
        stack.chat().queue(wanted_lease(stack));
        stack.chat().queue(stack.lease("other", &["b"]));
        stack.start_worker();
        stack.applied("b").await;
        stack.released("other").await;
        assert!(stack.chat().diffs().is_empty());
        assert!(!stack.chat().outcomes().contains_key("a"));
        assert!(
            !stack
                .github
                .requests_to(Matching::path("/pulls/1"))
                .is_empty()
        );
    })
    .await;
}
