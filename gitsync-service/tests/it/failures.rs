//! Hosts that fail, lie, or answer something that is not an answer.

use std::time::Duration;

use gitsync_service::{
    host::github::MAX_BODY_BYTES,
    worker::{Refresher, RefresherSettings},
};
use proto::sync::{Finding, ProblemClass};
use testkit::github::{Fault, GitHub};

use crate::support::{
    found, git_ref, group, group_at, knowing, lease, refresh, refresh_one, refresher, rest, world,
};

/// The class of what comes of a lookup by branch when the matching requests go wrong.
async fn class(path: &str, fault: Fault) -> ProblemClass {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("feature").open();
    let handle = github.fault(path).respond(fault);
    let refs = vec![git_ref("r", "acme/web", "feature")];
    let refreshed = refresh(&refresher(), lease(vec![group(&github, &token, refs)])).await;
    assert!(handle.hits() > 0, "nothing went wrong at {path}");
    refreshed.problem("r")
}

const PLACES: [&str; 3] = ["/pulls$", "/pulls/*$", "/pulls/*/reviews"];

/// Promise 9.
#[tokio::test]
async fn a_failed_lookup_is_never_no_pull_request_whatever_fails_and_wherever() {
    for path in PLACES {
        for (fault, expected) in [
            (Fault::Status(500), ProblemClass::HostUnavailable),
            (Fault::Status(502), ProblemClass::HostUnavailable),
            (Fault::Status(503), ProblemClass::HostUnavailable),
            (Fault::Reset, ProblemClass::HostUnavailable),
            (Fault::Html, ProblemClass::HostAnswerInvalid),
            (Fault::TruncatedJson, ProblemClass::HostAnswerInvalid),
            (Fault::HalfBody, ProblemClass::HostAnswerInvalid),
            (Fault::Status(204), ProblemClass::HostAnswerInvalid),
            (Fault::Status(422), ProblemClass::HostIncompatible),
            (Fault::Unprocessable, ProblemClass::QueryTooHeavy),
            (
                Fault::UnsupportedVersion { status: 410 },
                ProblemClass::HostIncompatible,
            ),
            (
                Fault::UnsupportedVersion { status: 400 },
                ProblemClass::HostIncompatible,
            ),
            (Fault::BadCredentials, ProblemClass::CredentialSuspect),
            (Fault::LockedOut, ProblemClass::AccountLocked),
            (Fault::Suspended, ProblemClass::AccountLocked),
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
            assert_eq!(
                class(path, fault.clone()).await,
                expected,
                "{path} {fault:?}"
            );
        }
    }
}

#[tokio::test]
async fn json_of_another_shape_is_no_answer() {
    let answer = |body: &str| Fault::Answer {
        status: 200,
        headers: Vec::new(),
        body: body.to_owned(),
    };
    for body in ["", "{}", "null", "[{}]", "[{\"number\":1}]", "\"x\""] {
        assert_eq!(
            class("/pulls$", answer(body)).await,
            ProblemClass::HostAnswerInvalid,
            "{body}"
        );
    }
    assert_eq!(
        class("/pulls/*$", answer("{}")).await,
        ProblemClass::HostAnswerInvalid
    );
    assert_eq!(
        class("/reviews", answer("{}")).await,
        ProblemClass::HostAnswerInvalid
    );
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off_and_refused() {
    let huge = Fault::LargeJson {
        bytes: MAX_BODY_BYTES + 1,
    };
    assert_eq!(
        class("/pulls$", huge).await,
        ProblemClass::HostAnswerInvalid
    );
}

#[tokio::test]
async fn a_large_answer_below_the_limit_is_read() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("feature").open();
    github.fault("/pulls$").respond(Fault::LargeJson {
        bytes: MAX_BODY_BYTES / 2,
    });
    let outcome = refresh_one(&github, &token, git_ref("r", "acme/web", "feature")).await;
    assert_eq!(found(&outcome).shown.number, 1);
}

/// Promise 8.
#[tokio::test]
async fn a_redirect_to_another_host_is_refused_and_the_host_never_dialled() {
    let elsewhere = GitHub::start().await;
    for status in [301, 302, 307, 308] {
        let fault = Fault::RedirectHost {
            status,
            base: elsewhere.api_base_url(),
        };
        assert_eq!(
            class("/pulls$", fault).await,
            ProblemClass::HostAnswerInvalid,
            "{status}"
        );
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn redirects_are_followed_three_times_and_no_further() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("feature").open();
    let to_itself = || Fault::Redirect {
        status: 307,
        location: "/repos/acme/web/pulls?state=open&head=acme:feature".to_owned(),
    };
    github.fault("/pulls$").times(3).respond(to_itself());
    let outcome = refresh_one(&github, &token, git_ref("r", "acme/web", "feature")).await;
    assert_eq!(found(&outcome).shown.number, 1);
    assert_eq!(
        class("/pulls$", to_itself()).await,
        ProblemClass::HostAnswerInvalid
    );
}

/// Promise 8.
#[tokio::test]
async fn a_next_page_at_another_host_is_refused_and_the_host_never_dialled() {
    let elsewhere = GitHub::start().await;
    let fault = Fault::Answer {
        status: 200,
        headers: vec![(
            "link".to_owned(),
            format!("<{}/x>; rel=\"next\"", elsewhere.api_base_url()),
        )],
        body: "[]".to_owned(),
    };
    assert_eq!(
        class("/reviews", fault).await,
        ProblemClass::HostAnswerInvalid
    );
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn pages_without_end_are_refused() {
    let fault = Fault::Answer {
        status: 200,
        headers: vec![(
            "link".to_owned(),
            "</repos/acme/web/pulls/1/reviews?page=2>; rel=\"next\"".to_owned(),
        )],
        body: "[]".to_owned(),
    };
    assert_eq!(
        class("/reviews", fault).await,
        ProblemClass::HostAnswerInvalid
    );
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_unavailable() {
    let (github, token) = world().await;
    github.fault("/pulls$").respond(Fault::Hang);
    let refresher = Refresher::new(RefresherSettings {
        request_timeout: Duration::from_millis(200),
        ..rest()
    });
    let refresher = refresher.unwrap();
    let refs = vec![git_ref("r", "acme/web", "feature")];
    let refreshed = refresh(&refresher, lease(vec![group(&github, &token, refs)])).await;
    assert_eq!(refreshed.class("r"), ProblemClass::HostUnavailable);
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_unavailable() {
    let github = GitHub::start().await;
    let base = github.api_base_url();
    github.stop().await;
    let refs = vec![git_ref("r", "acme/web", "feature")];
    let refreshed = refresh(&refresher(), lease(vec![group_at(&base, Some("t"), refs)])).await;
    assert_eq!(refreshed.class("r"), ProblemClass::HostUnavailable);
}

#[tokio::test]
async fn a_dead_token_stops_the_rest_of_its_group_and_no_other() {
    let (github, token) = world().await;
    github.pull_request("acme/web").head("a").open();
    let refresher = Refresher::new(RefresherSettings {
        concurrency: 1,
        ..rest()
    });
    let refresher = refresher.unwrap();
    let dead = vec![
        git_ref("dead-1", "acme/web", "a"),
        git_ref("dead-2", "acme/web", "b"),
        git_ref("dead-3", "acme/web", "c"),
    ];
    let lease = lease(vec![
        group(&github, "revoked", dead),
        group(&github, &token, vec![git_ref("alive", "acme/web", "a")]),
    ]);
    let refreshed = refresh(&refresher, lease).await;
    for name in ["dead-1", "dead-2", "dead-3"] {
        assert!(refreshed.is_unsent(name), "{name}");
    }
    let states: Vec<_> = refreshed
        .credentials
        .iter()
        .map(|seen| seen.refused)
        .collect();
    assert_eq!(states, [true]);
    assert_eq!(refreshed.found("alive").shown.number, 1);
    let refused = github.requests();
    let refused = refused.iter().filter(|request| request.status == Some(401));
    assert_eq!(refused.count(), 1);
}

#[tokio::test]
async fn one_failing_ref_keeps_no_other_from_its_result() {
    let (github, token) = world().await;
    let fine = github.pull_request("acme/web").head("fine").open();
    let broken = github.pull_request("acme/web").head("broken").open();
    github
        .fault(format!("/pulls/{broken}$").as_str())
        .respond(Fault::Status(502));
    let refs = vec![
        knowing(git_ref("broken", "acme/web", "broken"), "acme/web", broken),
        knowing(git_ref("fine", "acme/web", "fine"), "acme/web", fine),
        git_ref("none", "acme/web", "none"),
        git_ref("nowhere", "acme/secret", "x"),
        knowing(git_ref("garbled", "acme/web", "x"), "not a name", 1),
        git_ref("branchless", "acme/web", ""),
    ];
    let refreshed = refresh(&refresher(), lease(vec![group(&github, &token, refs)])).await;
    assert_eq!(refreshed.class("broken"), ProblemClass::HostUnavailable);
    assert_eq!(refreshed.class("nowhere"), ProblemClass::RepositoryNotFound);
    assert_eq!(refreshed.class("garbled"), ProblemClass::Internal);
    assert_eq!(refreshed.class("branchless"), ProblemClass::Internal);
    assert_eq!(*refreshed.finding("none"), Finding::NoPullRequest);
    refreshed.found("fine");
}

/// Promise 8.
#[tokio::test]
async fn no_token_and_no_answer_of_the_host_is_in_any_outcome() {
    let (github, token) = world().await;
    github.fault("/pulls$").respond(Fault::Answer {
        status: 500,
        headers: Vec::new(),
        body: format!("the body says {token}"),
    });
    let lease = lease(vec![group(
        &github,
        &token,
        vec![git_ref("r", "acme/web", "feature")],
    )]);
    let refreshed = refresh(&refresher(), lease.clone()).await;
    let printed = format!("{refreshed:?} {lease:?}");
    assert_eq!(refreshed.class("r"), ProblemClass::HostUnavailable);
    assert!(!printed.contains(&token));
    assert!(!printed.contains("the body says"));
}
