//! Rate limits and conditional requests.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use testkit::github::{Fault, GitHub, Resource};

use crate::client::{Client, Reply, public, world};

pub(crate) fn rate(reply: &Reply, name: &str) -> i64 {
    let value = reply.header(&format!("x-ratelimit-{name}")).parse();
    value.unwrap_or_else(|_| panic!("no x-ratelimit-{name} in {:?}", reply.headers))
}

#[tokio::test]
async fn all_tokens_of_a_user_share_one_bucket() {
    let (github, one, _) = world(0).await;
    let other = Client::with(&github, &github.user("ann").token());
    let bob = Client::with(&github, &github.user("bob").token());
    let first = one.get("/user").await;
    let second = other.get("/user").await;
    let spent = ["limit", "remaining", "used"].map(|name| rate(&first, name));
    assert_eq!(spent, [5000, 4999, 1]);
    assert_eq!(rate(&second, "remaining"), 4998);
    assert_eq!(rate(&second, "reset"), rate(&first, "reset"));
    assert_eq!(second.header("x-ratelimit-resource"), "core");
    assert_eq!(rate(&bob.get("/user").await, "remaining"), 4999);
    assert_eq!(github.budget("ann").get().used, 2);
}

#[tokio::test]
async fn each_installation_of_an_app_has_limits_of_its_own_and_all_are_one_viewer() {
    let github = GitHub::start().await;
    for owner in ["acme", "initech"] {
        let token = github.installation("deploy", owner).token();
        assert!(token.starts_with("ghs_") && token.len() > 100, "{token}");
        let client = Client::with(&github, &token);
        let reply = client.query("{ viewer { login } }", json!({})).await;
        assert_eq!(rate(&reply, "remaining"), 4999);
        assert_eq!(reply.data()["viewer"]["login"], "deploy[bot]");
        let refused = client.get("/user").await;
        assert_eq!(refused.status, 403);
        assert_eq!(refused.message(), "Resource not accessible by integration");
    }
}

#[tokio::test]
async fn a_spent_bucket_answers_403_until_its_window_is_over() {
    let (github, client, _) = world(0).await;
    let budget = github.budget("ann");
    budget.remaining(1).resets_in(Duration::from_secs(600));
    assert_eq!(client.get("/user").await.status, 200);
    let refused = client.get("/user").await;
    assert_eq!((refused.status, rate(&refused, "remaining")), (403, 0));
    assert_eq!(rate(&refused, "reset"), budget.get().reset);
    let expected = format!(
        "API rate limit exceeded for user ID {}",
        github.user("ann").id()
    );
    assert!(
        refused.message().starts_with(&expected),
        "{}",
        refused.message()
    );
    assert_eq!(client.get("/rate_limit").await.status, 200, "that is free");
    github.set_clock_skew(SignedDuration::from_secs(601));
    let reply = client.get("/user").await;
    assert_eq!((reply.status, rate(&reply, "remaining")), (200, 4999));
}

#[tokio::test]
async fn the_state_of_the_limits_can_be_asked_for() {
    let (github, client, _) = world(0).await;
    let budget = github.budget("ann");
    budget
        .limit(15_000)
        .remaining(12_000)
        .resets_in(Duration::from_secs(60));
    github.budget_of("ann", Resource::Graphql).spend_all();
    let body = client.get("/rate_limit").await.json();
    let limit = budget.get();
    assert_eq!(
        (limit.limit, limit.remaining, limit.used),
        (15_000, 12_000, 3_000)
    );
    assert_eq!(body["resources"]["core"]["reset"], limit.reset);
    assert_eq!(body["rate"]["remaining"], 12_000);
    assert_eq!(body["resources"]["graphql"]["remaining"], 0);
}

#[tokio::test]
async fn limits_can_be_off_as_on_an_enterprise_server_and_dates_are_the_hosts() {
    let (github, client, _) = world(0).await;
    github.set_clock_skew(SignedDuration::from_hours(-24 * 365 * 30));
    let reply = client.get("/user").await;
    let year = github.now().strftime(" %Y ").to_string();
    assert!(reply.header("date").contains(&year), "{:?}", reply.headers);
    assert!(rate(&reply, "reset") < github.now().as_second() + 3601);
    github.set_rate_limits(false);
    github.budget("ann").spend_all();
    let reply = client.get("/user").await;
    assert_eq!((reply.status, reply.header("x-ratelimit-limit")), (200, ""));
    assert_eq!(client.get("/rate_limit").await.status, 404);
}

#[tokio::test]
async fn not_modified_costs_nothing_with_the_token_and_the_accept_header_of_before() {
    let (github, client, _) = world(1).await;
    let other = Client::with(&github, &github.user("ann").token());
    let path = "/repos/acme/web/pulls/1";
    let first = client.get(path).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"'), "{tag} is not strong");
    for known in [tag.clone(), format!("\"other\", W/{tag}")] {
        let again = client.get_with(path, &[("if-none-match", &known)]).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""));
        assert_eq!(rate(&again, "remaining"), rate(&first, "remaining"));
        assert_eq!(again.header("etag"), tag);
    }
    let known = ("if-none-match", tag.as_str());
    assert_eq!(other.get_with(path, &[known]).await.status, 200);
    let accepting = [known, ("accept", "application/json")];
    assert_eq!(client.get_with(path, &accepting).await.status, 200);
    github.merge("acme/web", 1);
    let changed = client.get_with(path, &[known]).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), tag);
}

#[tokio::test]
async fn without_a_token_there_are_sixty_requests_and_not_modified_is_one() {
    let (_github, client) = public().await;
    let first = client.get("/repos/acme/web").await;
    assert_eq!([rate(&first, "limit"), rate(&first, "remaining")], [60, 59]);
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = client
        .get_with("/repos/acme/web", &[("if-none-match", &tag)])
        .await;
    assert_eq!((again.status, rate(&again, "remaining")), (304, 58));
}

#[tokio::test]
async fn other_refusals_leave_the_primary_limit_alone_and_show_it() {
    let (github, client, _) = world(0).await;
    let secondary = |status, retry_after| Fault::SecondaryLimit {
        status,
        retry_after,
    };
    let text = "secondary rate limit";
    for (fault, status, header, shown, text) in [
        (secondary(403, Some(30)), 403, "retry-after", "30", text),
        (secondary(429, Some(7)), 429, "retry-after", "7", text),
        (secondary(403, None), 403, "retry-after", "", text),
        (
            Fault::Forbidden,
            403,
            "retry-after",
            "",
            "Resource not accessible by personal access token",
        ),
        (Fault::SsoRequired, 403, "x-ratelimit-limit", "5000", "SAML"),
        (
            Fault::BadCredentials,
            401,
            "x-ratelimit-limit",
            "60",
            "Bad credentials",
        ),
    ] {
        github.fault("/user").once().respond(fault);
        let reply = client.get("/user").await;
        assert_eq!((reply.status, reply.header(header)), (status, shown));
        assert!(reply.message().contains(text), "{}", reply.message());
        assert!(rate(&reply, "remaining") == rate(&reply, "limit"));
    }
    github.fault("/user").once().respond(Fault::SsoRequired);
    let sign_on = client.get("/user").await;
    assert!(sign_on.header("x-github-sso").starts_with("required; url="));
}
