//! Rate limits and conditional requests.

use std::time::Duration;

use jiff::SignedDuration;
use testkit::github::{Fault, GitHub, RateLimit, Resource};

use crate::client::{Client, Reply};

pub(crate) fn rate(reply: &Reply, name: &str) -> i64 {
    reply
        .header(&format!("x-ratelimit-{name}"))
        .parse()
        .unwrap_or_else(|_| panic!("no x-ratelimit-{name} in {:?}", reply.headers))
}

#[tokio::test]
async fn all_tokens_of_a_user_share_one_bucket() {
    let github = GitHub::start().await;
    let ann = github.user("ann");
    let one = Client::with(&github, &ann.token());
    let other = Client::with(&github, &ann.token());
    let bob = Client::with(&github, &github.user("bob").token());

    let first = one.get("/user").await;
    let second = other.get("/user").await;

    assert_eq!(
        [
            rate(&first, "limit"),
            rate(&first, "remaining"),
            rate(&first, "used")
        ],
        [5000, 4999, 1]
    );
    assert_eq!(rate(&second, "remaining"), 4998);
    assert_eq!(rate(&second, "reset"), rate(&first, "reset"));
    assert_eq!(second.header("x-ratelimit-resource"), "core");
    assert_eq!(rate(&bob.get("/user").await, "remaining"), 4999);
    assert_eq!(github.budget("ann").get().used, 2);
}

#[tokio::test]
async fn each_installation_of_an_app_has_limits_of_its_own_and_all_are_one_viewer() {
    let github = GitHub::start().await;
    let mut viewers = Vec::new();
    for owner in ["acme", "initech"] {
        let token = github.installation("deploy", owner).token();
        assert!(token.starts_with("ghs_") && token.len() > 100, "{token}");
        let client = Client::with(&github, &token);
        let reply = client
            .query("{ viewer { databaseId login } }", serde_json::json!({}))
            .await;
        assert_eq!(rate(&reply, "remaining"), 4999);
        viewers.push(reply.data());
        let refused = client.get("/user").await;
        assert_eq!(refused.status, 403);
        assert_eq!(refused.message(), "Resource not accessible by integration");
    }
    assert_eq!(viewers[0]["viewer"]["login"], "deploy[bot]");
    assert_eq!(viewers[0], viewers[1]);
}

#[tokio::test]
async fn a_spent_bucket_answers_403_until_its_window_is_over() {
    let github = GitHub::start().await;
    let ann = github.user("ann");
    github
        .budget("ann")
        .remaining(1)
        .resets_in(Duration::from_secs(600));
    let client = Client::with(&github, &ann.token());
    assert_eq!(client.get("/user").await.status, 200);

    let refused = client.get("/user").await;

    assert_eq!((refused.status, rate(&refused, "remaining")), (403, 0));
    assert_eq!(rate(&refused, "reset"), github.budget("ann").get().reset);
    let expected = format!("API rate limit exceeded for user ID {}", ann.id());
    assert!(
        refused.message().starts_with(&expected),
        "{}",
        refused.message()
    );
    assert_eq!(
        client.get("/rate_limit").await.status,
        200,
        "asking for the state is free"
    );

    github.set_clock_skew(SignedDuration::from_secs(601));
    let reply = client.get("/user").await;
    assert_eq!((reply.status, rate(&reply, "remaining")), (200, 4999));
}

#[tokio::test]
async fn without_a_token_there_are_sixty_requests() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    let client = Client::anonymous(&github);
    let reply = client.get("/repos/acme/web").await;
    assert_eq!([rate(&reply, "limit"), rate(&reply, "remaining")], [60, 59]);
    github.anonymous_budget().spend_all();
    assert_eq!(client.get("/repos/acme/web").await.status, 403);
}

#[tokio::test]
async fn the_state_of_the_limits_can_be_asked_for() {
    let github = GitHub::start().await;
    let client = Client::with(&github, &github.user("ann").token());
    github
        .budget("ann")
        .limit(15_000)
        .remaining(12_000)
        .resets_in(Duration::from_secs(60));
    github.budget_of("ann", Resource::Graphql).spend_all();

    let body = client.get("/rate_limit").await.json();

    let RateLimit {
        limit,
        remaining,
        used,
        reset,
    } = github.budget("ann").get();
    assert_eq!((limit, remaining, used), (15_000, 12_000, 3_000));
    assert_eq!(body["resources"]["core"]["reset"], reset);
    assert_eq!(body["rate"]["remaining"], 12_000);
    assert_eq!(body["resources"]["graphql"]["remaining"], 0);
}

#[tokio::test]
async fn limits_can_be_off_as_on_an_enterprise_server() {
    let github = GitHub::start().await;
    github.set_rate_limits(false);
    let client = Client::with(&github, &github.user("ann").token());
    github.budget("ann").spend_all();
    let reply = client.get("/user").await;
    assert_eq!((reply.status, reply.header("x-ratelimit-limit")), (200, ""));
    assert_eq!(client.get("/rate_limit").await.status, 404);
}

#[tokio::test]
async fn every_answer_has_the_hosts_date() {
    let github = GitHub::start().await;
    github.set_clock_skew(SignedDuration::from_hours(-24 * 365 * 30));
    let reply = Client::anonymous(&github).get("/rate_limit").await;
    let shown = reply.header("date").to_owned();
    let year = github.now().strftime("%Y").to_string();
    assert!(
        shown.ends_with(" GMT") && shown.contains(&year),
        "{shown} is not of {year}"
    );
    assert!(rate(&reply, "reset") < github.now().as_second() + 3601);
}

#[tokio::test]
async fn not_modified_costs_nothing() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    let number = github.pull_request("acme/web").open();
    let client = Client::with(&github, &github.user("ann").token());
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

    github.merge("acme/web", number);
    let changed = client.get_with(path, &[("if-none-match", &tag)]).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), tag);
    assert_eq!(rate(&changed, "remaining"), rate(&first, "remaining") - 1);
}

#[tokio::test]
async fn an_entity_tag_fits_one_token_and_one_accept_header_only() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    let ann = github.user("ann");
    let one = Client::with(&github, &ann.token());
    let other = Client::with(&github, &ann.token());
    let tag = one.get("/repos/acme/web").await.header("etag").to_owned();
    let known = [("if-none-match", tag.as_str())];

    assert_eq!(one.get_with("/repos/acme/web", &known).await.status, 304);
    assert_eq!(other.get_with("/repos/acme/web", &known).await.status, 200);
    let headers = [known[0], ("accept", "application/json")];
    assert_eq!(one.get_with("/repos/acme/web", &headers).await.status, 200);
}

#[tokio::test]
async fn without_a_token_entity_tags_are_weak_and_not_modified_costs() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    let client = Client::anonymous(&github);
    let first = client.get("/repos/acme/web").await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = client
        .get_with("/repos/acme/web", &[("if-none-match", &tag)])
        .await;
    assert_eq!(
        (again.status, rate(&again, "remaining")),
        (304, rate(&first, "remaining") - 1)
    );
}

#[tokio::test]
async fn the_secondary_limit_leaves_the_primary_one_alone() {
    let github = GitHub::start().await;
    let client = Client::with(&github, &github.user("ann").token());
    for (status, retry_after, shown) in
        [(403, Some(30), "30"), (429, Some(7), "7"), (403, None, "")]
    {
        github.fault("/user").once().respond(Fault::SecondaryLimit {
            status,
            retry_after,
        });
        let reply = client.get("/user").await;
        assert_eq!((reply.status, reply.header("retry-after")), (status, shown));
        assert!(reply.message().contains("secondary rate limit"));
        assert_eq!(rate(&reply, "remaining"), 5000);
    }
    assert_eq!(client.get("/user").await.status, 200);
}

#[tokio::test]
async fn an_ordinary_403_has_the_headers_of_a_rate_limit() {
    let github = GitHub::start().await;
    let client = Client::with(&github, &github.user("ann").token());
    github.fault("/user").once().respond(Fault::Forbidden);
    github.fault("/user").once().respond(Fault::SsoRequired);
    github.fault("/user").once().respond(Fault::BadCredentials);

    let forbidden = client.get("/user").await;
    let sign_on = client.get("/user").await;
    let credentials = client.get("/user").await;

    assert_eq!(forbidden.status, 403);
    assert_eq!(
        forbidden.message(),
        "Resource not accessible by personal access token"
    );
    assert!(rate(&forbidden, "remaining") > 0 && rate(&forbidden, "reset") > 0);
    assert!(sign_on.header("x-github-sso").starts_with("required; url="));
    assert_eq!((sign_on.status, credentials.status), (403, 401));
    assert_eq!(rate(&credentials, "limit"), 60);
}
