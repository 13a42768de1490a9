//! Answers in part whose errors do not say what they are about: nothing is missing that was not
//! said to be.

use proto::sync::{Finding, LeasedRef, ProblemClass};
use serde_json::{Value, json};
use testkit::github::{Fault, GitHub, Matching};

use crate::{
    batches::linked,
    support::{
        Refreshed, class_of, engine, git_ref, group, knowing, lease, number, ref_name, refresh,
        world,
    },
};

/// Errors after which it is asked again, by type and message.
const PASSING: [(Option<&str>, &str); 2] = [
    (
        Some("RESOURCE_LIMITS_EXCEEDED"),
        "Resource limits for this query exceeded.",
    ),
    (None, "Something went wrong while executing your query."),
];
const UNKNOWN: (Option<&str>, &str) = (None, "What?");

fn feature() -> LeasedRef {
    git_ref("r", "acme/web", "feature")
}

async fn ask(github: &GitHub, token: &str, refs: Vec<LeasedRef>) -> Refreshed {
    refresh(&engine(), lease(vec![group(github, token, refs)])).await
}

fn spoil(github: &GitHub, without: &[&'static str], error: (Option<&'static str>, &'static str)) {
    let (kind, message) = error;
    github
        .fault(Matching::graphql())
        .once()
        .respond(Fault::InPart {
            without: without.to_vec(),
            kind,
            message,
        });
}

fn say(github: &GitHub, body: &Value) {
    github
        .fault(Matching::graphql())
        .once()
        .respond(Fault::Answer {
            status: 200,
            headers: Vec::new(),
            body: body.to_string(),
        });
}

/// Promise 9.
#[tokio::test]
async fn what_is_left_out_for_an_unknown_reason_is_neither_gone_nor_none() {
    let (github, token) = world().await;
    let by_id = linked(&github, &token, 1).await.remove(0);
    let pull = github.pull_request("acme/web").head("feature").open();
    let by_number = knowing(feature(), "acme/web", pull);
    for (git_ref, expected, without) in [
        (&feature(), pull, &["/r0/open/nodes", "/r0/head"][..]),
        (
            &feature(),
            pull,
            &["/r0/open/nodes", "/r0/head/associatedPullRequests/nodes"],
        ),
        (&feature(), pull, &["/r0"]),
        (&by_number, pull, &["/r0/pullRequest"]),
        (&by_number, pull, &["/r0"]),
        (&by_id, 1, &["/nodes/0"]),
        (&by_id, 1, &["/nodes"]),
        (&by_id, 1, &["/nodes/0/latestOpinionatedReviews"]),
    ] {
        let id = &ref_name(git_ref.id);
        for error in PASSING {
            spoil(&github, without, error);
            let refreshed = ask(&github, &token, vec![git_ref.clone()]).await;
            assert_eq!(
                refreshed.found(id).shown.number,
                number(expected),
                "{without:?}"
            );
        }
        spoil(&github, without, UNKNOWN);
        let refreshed = ask(&github, &token, vec![git_ref.clone()]).await;
        let result = refreshed.finding(id);
        assert_eq!(
            class_of(result),
            ProblemClass::HostAnswerInvalid,
            "{without:?}"
        );
    }
}

#[tokio::test]
async fn what_is_found_is_found_whatever_else_went_wrong() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("feature").open();
    let refs = vec![feature(), git_ref("other", "acme/web", "other")];
    spoil(&github, &["/r1"], UNKNOWN);
    let refreshed = ask(&github, &token, refs).await;
    assert_eq!(refreshed.found("r").shown.number, 1);
    assert_eq!(refreshed.class("other"), ProblemClass::HostAnswerInvalid);
}

/// Anybody may open a pull request from a branch into a fork that this token may not see.
#[tokio::test]
async fn a_pull_request_elsewhere_that_is_hidden_closes_no_repository() {
    const SAML: (Option<&str>, &str) = (
        Some("FORBIDDEN"),
        "Resource protected by organization SAML enforcement.",
    );
    let (github, token) = world().await;
    let pull = github.pull_request("acme/web").head("feature").open();
    let hidden = &["/r0/head/associatedPullRequests/nodes/0"];
    for (branch, expected) in [("feature", Some(pull)), ("other", None)] {
        spoil(&github, hidden, SAML);
        let git_ref = git_ref("r", "acme/web", branch);
        let refreshed = ask(&github, &token, vec![git_ref]).await;
        match expected {
            Some(pull) => assert_eq!(refreshed.found("r").shown.number, number(pull)),
            None => assert_eq!(refreshed.finding("r"), &Finding::NoPullRequest),
        }
    }
}

/// A default branch is not adopted by its name: REST names the default branch where GraphQL hides
/// it.
#[tokio::test]
async fn a_default_branch_that_may_not_be_read_is_not_adopted_by_its_name() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("main").open();
    let denied = (
        Some("FORBIDDEN"),
        "Resource not accessible by personal access token",
    );
    spoil(&github, &["/r0/defaultBranchRef"], denied);
    let refreshed = ask(&github, &token, vec![git_ref("r", "acme/web", "main")]).await;
    assert_eq!(refreshed.finding("r"), &Finding::NoPullRequest);
}

#[tokio::test]
async fn of_two_errors_about_one_answer_the_worse_holds() {
    let overloaded = json!({"type": "RESOURCE_LIMITS_EXCEEDED", "path": ["r0", "pullRequest"]});
    let missing = json!({"type": "NOT_FOUND", "path": ["r0", "pullRequest"]});
    let (github, token) = world().await;
    let pull = github.pull_request("acme/web").head("feature").open();
    for errors in [[&overloaded, &missing], [&missing, &overloaded]] {
        say(
            &github,
            &json!({"data": {"r0": {"pullRequest": null}}, "errors": errors}),
        );
        let known = knowing(feature(), "acme/web", pull);
        let refreshed = ask(&github, &token, vec![known]).await;
        assert_eq!(refreshed.found("r").shown.number, number(pull));
    }
}

#[tokio::test]
async fn a_denial_that_says_of_nothing_is_blamed_on_no_repository_and_rest_is_asked() {
    let (github, token) = world().await;
    let read = json!({"nameWithOwner": "acme/web", "isFork": false, "parent": null,
        "head": null, "open": {"nodes": []}});
    let denied = json!({"type": "FORBIDDEN", "message": "Resource not accessible"});
    say(
        &github,
        &json!({"data": {"r0": read, "r1": null}, "errors": [denied]}),
    );
    let refs = vec![feature(), git_ref("other", "acme/api", "feature")];
    let refreshed = ask(&github, &token, refs).await;
    assert_eq!(*refreshed.finding("r"), Finding::NoPullRequest);
    // It is hidden from this user, as REST says.
    assert_eq!(refreshed.class("other"), ProblemClass::RepositoryNotFound);
}

#[tokio::test]
async fn what_is_said_to_be_missing_is_whatever_else_went_wrong() {
    let (github, token) = world().await;
    let missing = json!({"type": "NOT_FOUND", "path": ["r0"]});
    let errors = json!([missing, {"message": "What?"}]);
    say(&github, &json!({"data": {"r0": null}, "errors": errors}));
    let refreshed = ask(&github, &token, vec![feature()]).await;
    assert_eq!(refreshed.class("r"), ProblemClass::RepositoryNotFound);
}

#[tokio::test]
async fn what_an_answer_may_lack_it_may_lack_for_no_unknown_reason() {
    let (github, token) = world().await;
    let branch = json!({"nameWithOwner": "acme/web", "isFork": false, "parent": null,
        "head": null, "open": {"nodes": []}});
    for (error, is_known) in [
        (json!({"type": "NOT_FOUND", "path": ["r0", "head"]}), true),
        (json!({"message": "What?", "path": ["r0", "head"]}), false),
    ] {
        say(&github, &json!({"data": {"r0": branch}, "errors": [error]}));
        let refreshed = ask(&github, &token, vec![feature()]).await;
        let result = refreshed.finding("r");
        match is_known {
            true => assert_eq!(*result, Finding::NoPullRequest),
            false => assert_eq!(class_of(result), ProblemClass::HostAnswerInvalid),
        }
    }
}

#[tokio::test]
async fn an_answer_that_lacks_what_was_asked_for_says_nothing_of_it() {
    let (github, token) = world().await;
    let known = knowing(feature(), "acme/web", 1);
    let pushed = LeasedRef {
        commit: Some("c0ffee".repeat(7)[..40].to_owned()),
        ..feature()
    };
    let branch = json!({"nameWithOwner": "acme/web", "isFork": false, "parent": null,
        "head": null, "open": {"nodes": []}});
    let mut leads_nowhere = branch.clone();
    leads_nowhere["head"] = json!({"associatedPullRequests": {"nodes": null}});
    let mut by_id = known.clone();
    by_id.known.as_mut().unwrap().host_id = Some("PR_1".to_owned());
    for (git_ref, data) in [
        (&known, json!({"r0": {}})),
        (&by_id, json!({"nodes": null})),
        (&pushed, json!({"r0": branch})),
        (&feature(), json!({"r0": leads_nowhere})),
    ] {
        say(&github, &json!({"data": data}));
        let refreshed = ask(&github, &token, vec![git_ref.clone()]).await;
        let result = refreshed.finding("r");
        assert_eq!(class_of(result), ProblemClass::HostAnswerInvalid, "{data}");
    }
}

/// The errors are at places of a list that the answer does not have.
#[tokio::test]
async fn a_shorter_list_with_errors_in_it_says_of_none_that_it_is_gone() {
    let (github, token) = world().await;
    let refs = linked(&github, &token, 2).await;
    let error = json!({"message": "What?", "path": ["nodes", 1]});
    say(&github, &json!({"data": {"nodes": []}, "errors": [error]}));
    let refreshed = ask(&github, &token, refs).await;
    for id in ["b0", "b1"] {
        let result = refreshed.finding(id);
        assert_eq!(class_of(result), ProblemClass::HostAnswerInvalid);
    }
}
