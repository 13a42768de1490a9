//! Every failure that a client must tell apart.

use serde_json::{Value, json};
use testkit::github::{Barrier, Fault, GitHub, Matching, Overload};

use crate::client::{Client, Reply};
use crate::graphql::{DISCOVER, PROBE};

const TWO: &str = "query Two {
    a: repository(owner: \"acme\", name: \"web\") { id pullRequest(number: 1) { id } }
    b: repository(owner: \"other\", name: \"app\") { id }
}";

/// `acme/web` with a pull request, `other/app`, and ann, who may read both.
fn world(github: &GitHub) -> (Client, String) {
    let ann = github.user("ann");
    for name in ["acme/web", "other/app"] {
        github.repository(name).grant(&ann);
    }
    github.pull_request("acme/web").head("fix").open();
    let token = ann.token();
    (Client::with(github, &token), token)
}

/// The first error of a GraphQL answer.
fn error(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["errors"][0].clone()
}

#[tokio::test]
async fn barriers_leave_the_other_aliases_alone_and_rest_gives_the_same_reason() {
    let github = GitHub::start().await;
    let (client, _) = world(&github);
    let cases = [
        (Barrier::SingleSignOn, "FORBIDDEN", "SAML enforcement", 403),
        (Barrier::NoPermission, "FORBIDDEN", "not accessible", 403),
        (
            Barrier::AddressNotAllowed,
            "FORBIDDEN",
            "`acme` organization has an IP allow list",
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
        (
            Barrier::NotFound,
            "NOT_FOUND",
            "Could not resolve to a Repository",
            404,
        ),
    ];
    for place in ["acme", "acme/web"] {
        for (barrier, kind, text, status) in cases {
            let handle = github.bar(place, barrier);
            let reply = client.query(TWO, json!({})).await;
            let error = error(&reply);
            assert_eq!(
                (&error["type"], &error["path"]),
                (&json!(kind), &json!(["a"]))
            );
            assert!(reply.body.contains(text), "{}", reply.body);
            let saml = &error["extensions"]["saml_failure"];
            assert_eq!(saml == true, barrier == Barrier::SingleSignOn, "{error}");
            let data = &reply.json()["data"];
            assert!(data["a"].is_null() && data["b"].is_object());

            for path in [
                "/repos/acme/web",
                "/repos/acme/web/pulls",
                "/repos/acme/web/pulls/1",
            ] {
                let rest = client.get(path).await;
                assert_eq!(rest.status, status, "{path}");
                let header = rest.header("x-github-sso");
                assert_eq!(
                    !header.is_empty(),
                    barrier == Barrier::SingleSignOn,
                    "{header}"
                );
            }
            assert_eq!(client.get("/repos/other/app").await.status, 200);
            handle.lift();
            assert!(client.query(TWO, json!({})).await.data()["a"].is_object());
        }
    }
}

#[tokio::test]
async fn a_barrier_may_be_for_one_user_or_let_one_token_through() {
    let github = GitHub::start().await;
    let (ann, token) = world(&github);
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
async fn a_pull_request_just_created_is_missing_for_a_while() {
    let github = GitHub::start().await;
    let (client, _) = world(&github);
    let id = github.find_pull_request("acme/web", 1).unwrap().node_id();
    github.bar("acme/web#1", Barrier::NotFound).times(3);
    assert_eq!(client.get("/repos/acme/web/pulls/1").await.status, 404);
    let error = error(&client.query(TWO, json!({})).await);
    assert_eq!(error["path"], json!(["a", "pullRequest"]));
    let reply = client.query(PROBE, json!({"ids": [id]})).await;
    assert_eq!(
        reply.errors(),
        [("NOT_FOUND".to_owned(), json!(["nodes", 0]))]
    );
    assert_eq!(client.get("/repos/acme/web/pulls/1").await.status, 200);
    client.query(TWO, json!({})).await.data();
}

#[tokio::test]
async fn a_node_may_be_null_without_a_word() {
    let github = GitHub::start().await;
    let (client, _) = world(&github);
    let id = github.find_pull_request("acme/web", 1).unwrap().node_id();
    let handle = github.bar("acme/web#1", Barrier::Null);
    let data = client.query(PROBE, json!({"ids": [id]})).await.data();
    assert_eq!(data["nodes"], json!([null]));
    handle.lift();
    let data = client.query(PROBE, json!({"ids": [id]})).await.data();
    assert!(data["nodes"][0].is_object());
}

#[tokio::test]
async fn lists_may_lose_sight_of_a_pull_request_that_is_there() {
    let github = GitHub::start().await;
    let (client, _) = world(&github);
    let id = github.find_pull_request("acme/web", 1).unwrap().node_id();
    let variables = json!({"o0": "acme", "r0": "web", "h0": "fix", "f0": "refs/heads/fix"});
    let handle = github.bar("acme/web#1", Barrier::Unlisted);
    let data = client.query(DISCOVER, variables.clone()).await.data();
    assert_eq!(data["d0"]["open"]["nodes"], json!([]));
    assert_eq!(
        data["d0"]["head"]["associatedPullRequests"]["nodes"],
        json!([])
    );
    assert_eq!(
        client.get("/repos/acme/web/pulls?head=acme:fix").await.body,
        "[]"
    );
    assert_eq!(client.get("/repos/acme/web/pulls/1").await.status, 200);
    let by_id = client.query(PROBE, json!({"ids": [id]})).await.data();
    assert!(by_id["nodes"][0].is_object());
    handle.lift();
    let data = client.query(DISCOVER, variables).await.data();
    assert_eq!(data["d0"]["open"]["nodes"][0]["id"], id);
}

#[tokio::test]
async fn a_dead_token_locks_the_user_out_if_it_is_used_on() {
    let github = GitHub::start().await;
    let (good, _) = world(&github);
    let dead = github.user("ann").token();
    github.revoke(&dead);
    github.lock_out_after(3);
    let dead = Client::with(&github, &dead);

    let first = dead.query(TWO, json!({})).await.status;
    let second = dead.get("/user").await.status;
    assert_eq!(good.get("/user").await.status, 200);
    let third = dead.query(TWO, json!({})).await.status;
    let fourth = dead.get("/user").await.status;

    assert_eq!([first, second, third, fourth], [401, 401, 401, 403]);
    assert_eq!(github.failed_logins("ann"), 3);
    for reply in [good.get("/user").await, good.query(TWO, json!({})).await] {
        assert_eq!(reply.status, 403);
        assert!(
            reply
                .message()
                .contains("Maximum number of login attempts exceeded")
        );
    }
    github.set_locked_out("ann", false);
    assert_eq!(good.get("/user").await.status, 200);
    github.set_suspended("ann", true);
    let suspended = good.query(TWO, json!({})).await;
    assert_eq!(suspended.status, 403);
    assert!(suspended.message().contains("suspended"));
    github.set_suspended("ann", false);
    good.query(TWO, json!({})).await.data();
}

#[tokio::test]
async fn an_older_host_lacks_fields_or_the_whole_api() {
    let github = GitHub::start().await;
    let (client, _) = world(&github);
    let id = github.find_pull_request("acme/web", 1).unwrap().node_id();
    let probe = || client.query(PROBE, json!({"ids": [id]}));
    probe().await.data();
    github.hide_field("PullRequest", "isInMergeQueue");
    let reply = probe().await;
    assert_eq!(reply.errors()[0].0, "undefinedField");
    assert!(
        reply
            .body
            .contains("Field 'isInMergeQueue' doesn't exist on type 'PullRequest'")
    );
    assert!(github.unexpected().is_empty(), "it was hidden on purpose");
    github.show_fields();
    probe().await.data();
    github.set_graphql(false);
    assert_eq!(probe().await.status, 404);
    assert_eq!(client.get("/user").await.status, 200);
}

#[tokio::test]
async fn whole_answers_go_wrong_with_the_hosts_own_words() {
    let github = GitHub::start().await;
    let (client, _) = world(&github);
    let cases = [
        (
            Fault::Overloaded(Overload::BadGateway),
            502,
            "Something went wrong",
        ),
        (Fault::Overloaded(Overload::GatewayTimeout), 504, "Unicorn"),
        (
            Fault::Overloaded(Overload::NoTime),
            200,
            "We couldn't respond",
        ),
        (
            Fault::Overloaded(Overload::SomethingWrong),
            200,
            "Something went wrong",
        ),
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
    ];
    for (fault, status, text) in cases {
        github
            .fault(Matching::any())
            .times(2)
            .respond(fault.clone());
        let query = client.query(TWO, json!({})).await;
        let rest = client.get("/repos/acme/web/pulls/1").await;
        for reply in [query, rest] {
            assert_eq!(reply.status, status, "{fault:?}");
            assert!(reply.body.contains(text), "{fault:?}: {}", reply.body);
        }
        client.query(TWO, json!({})).await.data();
    }
    github
        .fault(Matching::any())
        .once()
        .respond(Fault::SsoPartial);
    let partial = client.query(TWO, json!({})).await;
    assert!(
        partial
            .header("x-github-sso")
            .starts_with("partial-results; organizations=")
    );
    partial.data();
}

#[tokio::test]
async fn bodies_of_queries_can_be_garbage() {
    let github = GitHub::start().await;
    let (client, _) = world(&github);
    github
        .fault("/graphql")
        .once()
        .respond(Fault::TruncatedJson);
    let reply = client.query(TWO, json!({})).await;
    assert!(serde_json::from_str::<Value>(&reply.body).is_err());
    github.fault("/graphql").once().respond(Fault::InPart {
        without: vec!["/a"],
        kind: Some("RESOURCE_LIMITS_EXCEEDED"),
        message: "Resource limits for this query exceeded.",
    });
    let in_part = client.query(TWO, json!({})).await.json();
    assert!(in_part["data"]["a"].is_null() && in_part["data"]["b"].is_object());
    assert_eq!(in_part["errors"][0]["path"], Value::Null);
    let large = Fault::LargeJson { bytes: 1 << 20 };
    github.fault("/graphql").once().respond(large);
    let reply = client.query(TWO, json!({})).await;
    assert!(reply.body.len() > 1 << 20 && reply.json()["data"]["a"].is_object());
    github.fault("/graphql").once().respond(Fault::HalfBody);
    let response = client.query_request(TWO, &json!({})).send().await.unwrap();
    assert!(response.bytes().await.is_err());
    github.fault("/graphql").once().respond(Fault::Reset);
    assert!(client.query_request(TWO, &json!({})).send().await.is_err());
}
