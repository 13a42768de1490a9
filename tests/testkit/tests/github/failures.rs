//! Every failure that a client must tell apart.

use serde_json::{Value, json};
use testkit::github::{Barrier, Fault, GitHub, Matching, Overload};

use crate::client::{Client, Reply, world};
use crate::graphql::{DISCOVER, PROBE};

const TWO: &str = "query Two {
    a: repository(owner: \"acme\", name: \"web\") { id pullRequest(number: 1) { id } }
    b: repository(owner: \"other\", name: \"app\") { id }
}";

/// `acme/web` with a pull request, `other/app`, and ann, who may read both.
async fn both() -> (GitHub, Client, Vec<String>) {
    let (github, client, ids) = world(1).await;
    github.repository("other/app").grant(&github.user("ann"));
    (github, client, ids)
}

/// The first error of a GraphQL answer.
fn error(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["errors"][0].clone()
}

#[tokio::test]
async fn barriers_leave_the_other_aliases_alone_and_rest_gives_the_same_reason() {
    let (github, client, _) = both().await;
    let not_found = "Could not resolve to a Repository";
    for place in ["acme", "acme/web"] {
        for (barrier, kind, text, status) in [
            (Barrier::SingleSignOn, "FORBIDDEN", "SAML enforcement", 403),
            (Barrier::NoPermission, "FORBIDDEN", "not accessible", 403),
            (
                Barrier::AddressNotAllowed,
                "FORBIDDEN",
                "`acme` organization has an IP",
                403,
            ),
            (
                Barrier::Blocked { status: 451 },
                "FORBIDDEN",
                "access blocked",
                451,
            ),
            (
                Barrier::Blocked { status: 403 },
                "FORBIDDEN",
                "access blocked",
                403,
            ),
            (Barrier::NotFound, "NOT_FOUND", not_found, 404),
        ] {
            let is_sso = barrier == Barrier::SingleSignOn;
            let handle = github.bar(place, barrier);
            let reply = client.query(TWO, json!({})).await;
            let error = error(&reply);
            assert_eq!(
                (&error["type"], &error["path"]),
                (&json!(kind), &json!(["a"]))
            );
            assert!(reply.body.contains(text), "{}", reply.body);
            assert_eq!(
                error["extensions"]["saml_failure"] == true,
                is_sso,
                "{error}"
            );
            let data = &reply.json()["data"];
            assert!(data["a"].is_null() && data["b"].is_object());
            for path in ["", "/pulls", "/pulls/1"] {
                let rest = client.get(&format!("/repos/acme/web{path}")).await;
                assert_eq!(rest.status, status, "{path}");
                assert_eq!(!rest.header("x-github-sso").is_empty(), is_sso);
            }
            assert_eq!(client.get("/repos/other/app").await.status, 200);
            handle.lift();
            assert!(client.query(TWO, json!({})).await.data()["a"].is_object());
        }
    }
}

#[tokio::test]
async fn a_barrier_may_be_for_one_user_or_let_one_token_through() {
    let (github, _, _) = both().await;
    let token = github.user("ann").token();
    let ann = Client::with(&github, &token);
    let bob = github.user("bob");
    github.repository("acme/web").grant(&bob);
    let bob = Client::with(&github, &bob.token());
    let handle = github.bar("acme", Barrier::SingleSignOn);
    assert_eq!(ann.get("/repos/acme/web").await.status, 403);
    handle.except(&token);
    assert_eq!(ann.get("/repos/acme/web").await.status, 200);
    assert_eq!(bob.get("/repos/acme/web").await.status, 403);
    github.bar("acme/web", Barrier::NoPermission).only("ann");
    assert_eq!(
        error(&ann.query(TWO, json!({})).await)["path"],
        json!(["a"])
    );
    // It is around the same repository after a rename.
    handle.lift();
    github.rename("acme/web", "acme/site");
    assert_eq!(ann.get("/repos/acme/site").await.status, 403);
    assert_eq!(bob.get("/repos/acme/site").await.status, 200);
}

#[tokio::test]
async fn a_pull_request_may_be_missing_for_a_while_null_without_a_word_or_in_no_list() {
    let (github, client, ids) = both().await;
    let probe = async || client.query(PROBE, json!({ "ids": ids })).await;
    github.bar("acme/web#1", Barrier::NotFound).times(3);
    assert_eq!(client.get("/repos/acme/web/pulls/1").await.status, 404);
    let missing = error(&client.query(TWO, json!({})).await);
    assert_eq!(missing["path"], json!(["a", "pullRequest"]));
    assert_eq!(
        probe().await.errors(),
        [("NOT_FOUND".to_owned(), json!(["nodes", 0]))]
    );
    assert_eq!(client.get("/repos/acme/web/pulls/1").await.status, 200);

    let handle = github.bar("acme/web#1", Barrier::Null);
    assert_eq!(probe().await.data()["nodes"], json!([null]));
    handle.lift();

    let variables = json!({"o0": "acme", "r0": "web", "h0": "b1", "f0": "refs/heads/b1"});
    let handle = github.bar("acme/web#1", Barrier::Unlisted);
    let data = client.query(DISCOVER, variables.clone()).await.data();
    assert_eq!(data["d0"]["open"]["nodes"], json!([]));
    let of_branch = &data["d0"]["head"]["associatedPullRequests"]["nodes"];
    assert_eq!(*of_branch, json!([]));
    let listed = client.get("/repos/acme/web/pulls?head=acme:b1").await;
    assert_eq!(listed.body, "[]");
    assert_eq!(client.get("/repos/acme/web/pulls/1").await.status, 200);
    assert!(probe().await.data()["nodes"][0].is_object());
    handle.lift();
    let data = client.query(DISCOVER, variables).await.data();
    assert_eq!(data["d0"]["open"]["nodes"][0]["id"], ids[0]);
}

#[tokio::test]
async fn an_older_host_lacks_fields_or_the_whole_api() {
    let (github, client, ids) = world(1).await;
    let probe = async || client.query(PROBE, json!({ "ids": ids })).await;
    probe().await.data();
    github.hide_field("PullRequest", "isInMergeQueue");
    let reply = probe().await;
    assert_eq!(reply.errors()[0].0, "undefinedField");
    let text = "Field 'isInMergeQueue' doesn't exist on type 'PullRequest'";
    assert!(reply.body.contains(text), "{}", reply.body);
    assert!(github.unexpected().is_empty(), "it was hidden on purpose");
    github.set_graphql(false);
    assert_eq!(probe().await.status, 404);
    assert_eq!(client.get("/user").await.status, 200);
}

#[tokio::test]
async fn whole_answers_go_wrong_with_the_hosts_own_words() {
    let (github, client, _) = both().await;
    let wrong = "Something went wrong";
    for (fault, status, text) in [
        (Fault::Overloaded(Overload::BadGateway), 502, wrong),
        (Fault::Overloaded(Overload::GatewayTimeout), 504, "Unicorn"),
        (
            Fault::Overloaded(Overload::NoTime),
            200,
            "We couldn't respond",
        ),
        (Fault::Overloaded(Overload::SomethingWrong), 200, wrong),
        (
            Fault::Overloaded(Overload::ResourceLimits),
            200,
            "RESOURCE_LIMITS_EXCEEDED",
        ),
        (Fault::InsufficientScopes, 200, "INSUFFICIENT_SCOPES"),
        (Fault::LockedOut, 403, "Maximum number of login attempts"),
        (Fault::Suspended, 403, "suspended"),
        (Fault::AddressNotAllowed, 403, "IP allow list"),
        (
            Fault::Blocked { status: 451 },
            451,
            "Repository access blocked",
        ),
        (
            Fault::UnsupportedVersion { status: 410 },
            410,
            "no longer supported",
        ),
        (
            Fault::UnsupportedVersion { status: 400 },
            400,
            "not supported",
        ),
        (Fault::Unprocessable, 422, "too many files changed"),
        (Fault::BadCredentials, 401, "Bad credentials"),
        (Fault::Html, 200, "<!DOCTYPE html>"),
    ] {
        let twice = github.fault(Matching::any()).times(2);
        twice.respond(fault.clone());
        let query = client.query(TWO, json!({})).await;
        let rest = client.get("/repos/acme/web/pulls/1").await;
        for reply in [query, rest] {
            assert_eq!(reply.status, status, "{fault:?}");
            assert!(reply.body.contains(text), "{fault:?}: {}", reply.body);
        }
        client.query(TWO, json!({})).await.data();
    }
}

#[tokio::test]
async fn bodies_of_queries_can_be_garbage() {
    let (github, client, _) = both().await;
    let once = |fault| github.fault("/graphql").once().respond(fault);
    once(Fault::TruncatedJson);
    let reply = client.query(TWO, json!({})).await;
    assert!(serde_json::from_str::<Value>(&reply.body).is_err());
    once(Fault::InPart {
        without: vec!["/a"],
        kind: Some("RESOURCE_LIMITS_EXCEEDED"),
        message: "Resource limits for this query exceeded.",
    });
    let in_part = client.query(TWO, json!({})).await.json();
    assert!(in_part["data"]["a"].is_null() && in_part["data"]["b"].is_object());
    assert_eq!(in_part["errors"][0]["path"], Value::Null);
    once(Fault::LargeJson { bytes: 1 << 20 });
    let reply = client.query(TWO, json!({})).await;
    assert!(reply.body.len() > 1 << 20 && reply.json()["data"]["a"].is_object());
    once(Fault::HalfBody);
    let response = client.query_request(TWO, &json!({})).send().await.unwrap();
    assert!(response.bytes().await.is_err());
    once(Fault::Reset);
    assert!(client.query_request(TWO, &json!({})).send().await.is_err());
}
