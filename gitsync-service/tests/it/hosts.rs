//! Hosts without GraphQL, or with another one; and REST, which then serves.

use gitsync_service::worker::Refresher;
use proto::sync::{BudgetView, Finding, LeasedRef, ProblemClass};
use testkit::github::{Fault, GitHub, Matching};

use crate::{
    batches::{linked, operations},
    support::{
        Refreshed, engine, git_ref, group, lease, lease_of, lease_with, ref_name, refresh,
        refresher, world,
    },
};

fn feature() -> LeasedRef {
    git_ref("r", "acme/web", "feature")
}

async fn ask(refresher: &Refresher, github: &GitHub, token: &str, git_ref: LeasedRef) -> Refreshed {
    refresh(refresher, lease(vec![group(github, token, vec![git_ref])])).await
}

#[tokio::test]
async fn a_host_without_graphql_is_asked_for_it_once_and_served_over_rest() {
    let (github, token) = world().await;
    github.set_graphql(false);
    let pull = github.pull_request("acme/web").head("feature").open();
    let refresher = engine();
    for _ in 0..3 {
        let refreshed = ask(&refresher, &github, &token, feature()).await;
        assert_eq!(
            refreshed.found("r").shown.number,
            i32::try_from(pull).unwrap()
        );
    }
    assert_eq!(github.count(Matching::graphql()), 1);
}

/// The cause may be a proxy's bad moment or a problem of one account.
#[tokio::test]
async fn one_odd_answer_turns_no_graphql_off_that_has_answered() {
    let skew = r#"{"errors":[{"message":"What?","extensions":{"code":"undefinedField"}}]}"#;
    for (status, body) in [(404, r#"{"message":"Not Found"}"#), (200, skew)] {
        let (github, token) = world().await;
        github.pull_request("acme/web").head("feature").open();
        let refresher = engine();
        ask(&refresher, &github, &token, feature()).await.found("r");
        let odd = Fault::Answer {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        };
        github.fault(Matching::graphql()).once().respond(odd);
        for queries in [2, 3, 4] {
            let refreshed = ask(&refresher, &github, &token, feature()).await;
            refreshed.found("r");
            assert_eq!(github.count(Matching::graphql()), queries, "{status}");
        }

        // Another account hears it too.
        github.set_graphql(false);
        let bob = github.user("bob");
        github.repository("acme/web").grant(&bob);
        let groups = vec![group(&github, &bob.token(), vec![feature()])];
        for _ in 0..2 {
            refresh(&refresher, lease_of("bob", groups.clone()))
                .await
                .found("r");
            assert_eq!(github.count(Matching::graphql()), 5);
        }
    }
}

#[tokio::test]
async fn a_host_that_lacks_a_field_is_asked_without_it_and_that_is_remembered() {
    for field in ["isInMergeQueue", "reviewDecision"] {
        let (github, token) = world().await;
        let refs = linked(&github, &token, 12).await;
        github.hide_field("PullRequest", field);
        let refresher = engine();
        for queries in [2, 3] {
            let groups = vec![group(&github, &token, refs.clone())];
            let refreshed = refresh(&refresher, lease(groups)).await;
            for git_ref in &refs {
                refreshed.found(&ref_name(git_ref.id));
            }
            assert_eq!(github.count(Matching::graphql()), queries, "{field}");
            assert_eq!(github.requests().len(), queries, "{field}");
        }
    }
}

#[tokio::test]
async fn a_host_that_lacks_what_a_status_needs_is_served_over_rest_and_no_ref_is_blamed() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 12).await;
    github.hide_field("PullRequest", "changedFiles");
    github.hide_field("PullRequest", "isInMergeQueue");
    let refresher = engine();
    for _ in 0..2 {
        let groups = vec![group(&github, &token, refs.clone())];
        let refreshed = refresh(&refresher, lease(groups)).await;
        for git_ref in &refs {
            refreshed.found(&ref_name(git_ref.id));
        }
    }
    assert!(github.count(Matching::graphql()) <= 2);
}

#[tokio::test]
async fn where_graphql_does_not_tell_the_account_it_is_asked_for_once() {
    let (github, token) = world().await;
    github.set_graphql(false);
    let refs: Vec<_> = (0..5)
        .map(|index| git_ref(&format!("r{index}"), "acme/web", &format!("b{index}")))
        .collect();
    let groups = vec![group(&github, &token, refs)];
    let known = lease(groups.clone());
    let unknown = lease_with("key", groups, BudgetView::default());
    let refreshed = refresh(&engine(), unknown).await;
    let id = github.user("ann").id().to_string();
    assert_eq!(refreshed.budget.unwrap().account_id, Some(id));
    assert_eq!(github.count("/user$"), 1);
    refresh(&engine(), known).await;
    assert_eq!(github.count("/user$"), 1);
}

#[tokio::test]
async fn a_host_that_refuses_to_tell_the_account_is_not_asked_in_every_lease() {
    for refusal in [Fault::Status(404), Fault::Forbidden, Fault::SsoRequired] {
        let (github, token) = world().await;
        github.fault("/user$").respond(refusal);
        let refresher = refresher();
        for _ in 0..3 {
            let groups = vec![group(&github, &token, vec![feature()])];
            let unknown = lease_with("key", groups, BudgetView::default());
            let refreshed = refresh(&refresher, unknown).await;
            assert_eq!(*refreshed.finding("r"), Finding::NoPullRequest);
        }
        assert_eq!(github.count("/user$"), 1);
    }
}

/// Promise 9.
#[tokio::test]
async fn each_broken_answer_has_its_class_and_is_never_no_pull_request() {
    for (fault, class) in [
        (Fault::Status(500), ProblemClass::HostUnavailable),
        (Fault::Status(503), ProblemClass::HostUnavailable),
        (Fault::Reset, ProblemClass::HostUnavailable),
        (Fault::Html, ProblemClass::HostAnswerInvalid),
        (Fault::TruncatedJson, ProblemClass::HostAnswerInvalid),
        (Fault::HalfBody, ProblemClass::HostAnswerInvalid),
        (Fault::Status(422), ProblemClass::HostIncompatible),
        (
            Fault::UnsupportedVersion { status: 410 },
            ProblemClass::HostIncompatible,
        ),
        (
            Fault::UnsupportedVersion { status: 400 },
            ProblemClass::HostIncompatible,
        ),
        (Fault::BadCredentials, ProblemClass::CredentialSuspect),
        (Fault::Forbidden, ProblemClass::AccessDenied),
        (Fault::SsoRequired, ProblemClass::SsoRequired),
        (Fault::AddressNotAllowed, ProblemClass::AddressNotAllowed),
        (
            Fault::Blocked { status: 451 },
            ProblemClass::RepositoryBlocked,
        ),
        (
            Fault::Blocked { status: 403 },
            ProblemClass::RepositoryBlocked,
        ),
    ] {
        let (github, token) = world().await;
        github.pull_request("acme/web").head("feature").open();
        github.fault(Matching::any()).respond(fault.clone());
        let refreshed = ask(&engine(), &github, &token, feature()).await;
        assert_eq!(refreshed.problem("r"), class, "{fault:?}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_answers_are_none() {
    for body in [
        "",
        "[]",
        "null",
        "{}",
        r#"{"data":null}"#,
        r#"{"data":{"viewer":null}}"#,
        r#"{"data":{"r0":{}}}"#,
        r#"{"data":{"r0":{"nameWithOwner":"acme/web","isFork":false,"parent":null,"head":null}}}"#,
        r#"{"errors":"no"}"#,
        r#"{"errors":[{"message":"What?"}]}"#,
        r#"{"message":"What?"}"#,
    ] {
        let (github, token) = world().await;
        github.fault(Matching::graphql()).respond(Fault::Answer {
            status: 200,
            headers: Vec::new(),
            body: body.to_owned(),
        });
        let refreshed = ask(&engine(), &github, &token, feature()).await;
        assert_eq!(
            refreshed.class("r"),
            ProblemClass::HostAnswerInvalid,
            "{body}"
        );
    }
}

/// Promise 8.
#[tokio::test]
async fn a_token_never_follows_a_redirect_elsewhere() {
    let (github, token) = world().await;
    let elsewhere = GitHub::start().await;
    for status in [301, 307, 308] {
        github
            .fault(Matching::graphql())
            .once()
            .respond(Fault::RedirectHost {
                status,
                base: elsewhere.api_base_url(),
            });
        let refreshed = ask(&engine(), &github, &token, feature()).await;
        assert_eq!(refreshed.class("r"), ProblemClass::HostAnswerInvalid);
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn no_value_is_ever_written_into_a_query() {
    let (github, token) = world().await;
    let branch = "}) { secret } #";
    github.pull_request("acme/web").head(branch).open();
    let refreshed = ask(&engine(), &github, &token, git_ref("r", "acme/web", branch)).await;
    assert_eq!(refreshed.found("r").shown.number, 1);
    let request = &github.requests()[0];
    let query = request.graphql.as_ref().unwrap();
    assert_eq!(query.variables["branch0"], branch);
    assert_eq!(operations(&github), ["Discover"]);
    let body: Vec<_> = request.body.matches("secret").collect();
    assert_eq!(body.len(), 2, "in two variables and nowhere else");
}
