//! Budgets, secondary limits and heavy queries of the GraphQL API.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use testkit::github::{Fault, GitHub, LimitSpelling, Matching, Overload, RecordedQuery, Resource};

use crate::client::{Client, world};
use crate::graphql::{DETAIL, PROBE};
use crate::limits::rate;

fn recorded(github: &GitHub) -> RecordedQuery {
    let requests = github.requests_to(Matching::graphql());
    let last = requests.last().and_then(|last| last.graphql.clone());
    last.expect("there was a query")
}

const VIEWER: &str = "query Viewer { viewer { login } }";

#[tokio::test]
async fn the_last_good_answer_has_nothing_left_and_the_next_is_limited() {
    let (github, client, _) = world(0).await;
    let budget = github.budget_of("ann", Resource::Graphql);
    budget.remaining(1).resets_in(Duration::from_secs(600));
    let last = client.query(VIEWER, json!({})).await;
    assert_eq!(last.data()["viewer"]["login"], "ann");
    assert_eq!(rate(&last, "remaining"), 0);
    let refused = client.query(VIEWER, json!({})).await;
    assert_eq!(refused.status, 200);
    assert_eq!(refused.errors(), [("RATE_LIMITED".to_owned(), Value::Null)]);
    assert!(refused.json().get("data").is_none());
    assert_eq!(rate(&refused, "reset"), budget.get().reset);
    assert_eq!(client.get("/user").await.status, 200, "REST has its own");
    github.set_limit_spelling(LimitSpelling::RateLimit);
    let refused = client.query(VIEWER, json!({})).await.json();
    assert_eq!(refused["errors"][0]["type"], "RATE_LIMIT");
    assert_eq!(refused["errors"][0]["code"], "graphql_rate_limit");
    github.set_clock_skew(SignedDuration::from_secs(601));
    let fresh = client.query(VIEWER, json!({})).await;
    assert_eq!(rate(&fresh, "remaining"), 4999);
}

#[tokio::test]
async fn a_query_that_costs_more_than_is_left_is_limited_with_something_left() {
    let (github, client, ids) = world(1).await;
    github.budget_of("ann", Resource::Graphql).remaining(1);
    let query = "query Q($ids: [ID!]!) { nodes(ids: $ids) { ... on PullRequest {
        latestReviews(first: 1) { totalCount } reviews(first: 1) { totalCount } } } }";
    let ids: Vec<&String> = std::iter::repeat_n(&ids[0], 100).collect();
    let refused = client.query(query, json!({ "ids": ids })).await;
    assert_eq!(refused.errors()[0].0, "RATE_LIMITED");
    assert_eq!(rate(&refused, "remaining"), 1);
    let recorded = recorded(&github);
    assert_eq!(
        (recorded.cost, recorded.errors),
        (2, vec!["RATE_LIMITED".to_owned()])
    );
}

#[tokio::test]
async fn without_their_headers_the_answer_itself_has_the_limits_and_without_limits_it_has_none() {
    let (github, client, _) = world(0).await;
    github.set_limit_headers(false);
    github.budget_of("ann", Resource::Graphql).remaining(1);
    let query = async || {
        client
            .query("{ rateLimit { remaining } viewer { login } }", json!({}))
            .await
    };
    let reply = query().await;
    assert_eq!(reply.data()["rateLimit"]["remaining"], 0);
    assert_eq!(reply.header("x-ratelimit-remaining"), "");
    assert_eq!(query().await.errors()[0].0, "RATE_LIMITED");
    github.set_rate_limits(false);
    let reply = query().await;
    assert_eq!(reply.data()["rateLimit"], Value::Null);
    assert_eq!(reply.header("x-ratelimit-remaining"), "");
}

#[tokio::test]
async fn a_pause_stops_both_apis_until_it_is_over_whatever_is_left() {
    let (github, client, _) = world(0).await;
    let bob = Client::with(&github, &github.user("bob").token());
    github.pause("ann", Duration::from_secs(90));
    for reply in [
        client.get("/user").await,
        client.query(VIEWER, json!({})).await,
    ] {
        assert!(
            reply.body.contains("secondary rate limit"),
            "{}",
            reply.body
        );
        assert!(rate(&reply, "remaining") > 0);
        assert_eq!((reply.status, reply.header("retry-after")), (403, "90"));
    }
    assert!(github.is_paused("ann") && !github.is_paused("bob"));
    assert_eq!(bob.get("/user").await.status, 200);
    github.set_clock_skew(SignedDuration::from_secs(91));
    assert_eq!(client.query(VIEWER, json!({})).await.status, 200);
    assert_eq!(client.get("/user").await.status, 200);
}

#[tokio::test]
async fn faults_hit_queries_by_operation_and_caller() {
    let (github, client, ids) = world(1).await;
    let fault = github.fault(Matching::graphql().operation("Probe").by("ann"));
    fault.once().respond(Fault::SecondaryLimit {
        status: 200,
        retry_after: None,
    });
    assert_eq!(client.query(VIEWER, json!({})).await.status, 200);
    let probe = async || client.query(PROBE, json!({ "ids": ids })).await;
    let reply = probe().await;
    assert_eq!(reply.status, 200);
    assert!(
        reply.body.contains("secondary rate limit"),
        "{}",
        reply.body
    );
    assert_eq!(reply.header("x-ratelimit-resource"), "graphql");
    assert!(probe().await.data()["nodes"][0].is_object());
}

#[tokio::test]
async fn a_heavy_query_fails_as_a_whole_and_smaller_ones_pass() {
    let (github, client, ids) = world(8).await;
    let detail = async |ids: &[String]| client.query(DETAIL, json!({ "ids": ids })).await;
    detail(&ids).await.data();
    let whole = recorded(&github).weight;
    for (overload, status, text) in [
        (Overload::BadGateway, 502, "Something went wrong"),
        (Overload::GatewayTimeout, 504, "Unicorn"),
        (
            Overload::NoTime,
            200,
            "We couldn't respond to your request in time",
        ),
        (Overload::SomethingWrong, 200, "Something went wrong"),
    ] {
        github.set_weight_limit(Some(whole / 2 + 10), overload);
        let before = github.budget_of("ann", Resource::Graphql).get().remaining;
        let reply = detail(&ids).await;
        assert_eq!(reply.status, status);
        assert!(reply.body.contains(text), "{}", reply.body);
        assert_eq!(
            rate(&reply, "remaining"),
            i64::try_from(before).unwrap() - 1
        );
        for half in ids.chunks(4) {
            detail(half).await.data();
        }
    }
    // What was answered until then is there.
    github.set_weight_limit(Some(whole / 2), Overload::ResourceLimits);
    let reply = detail(&ids).await;
    let body = reply.json();
    let nodes = body["data"]["nodes"].as_array().unwrap();
    let answered = nodes.iter().take_while(|node| node.is_object()).count();
    assert!((3..=6).contains(&answered), "{answered} of {}", nodes.len());
    assert!(nodes[answered..].iter().all(Value::is_null));
    let limited = |index| {
        (
            "RESOURCE_LIMITS_EXCEEDED".to_owned(),
            json!(["nodes", index]),
        )
    };
    let expected: Vec<(String, Value)> = (answered..8).map(limited).collect();
    assert_eq!(reply.errors(), expected);
    assert_eq!(body["data"]["viewer"]["login"], "ann");
    github.set_weight_limit(None, Overload::BadGateway);
    detail(&ids).await.data();
    github.set_node_limit(10);
    assert_eq!(detail(&ids).await.errors()[0].0, "MAX_NODE_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn one_pull_request_can_spoil_every_heavy_query_it_is_in() {
    let (github, client, ids) = world(4).await;
    let detail = async |ids: &[String]| client.query(DETAIL, json!({ "ids": ids })).await;
    github.poison("acme/web", 3);
    for (ids, status) in [(&ids[..], 502), (&ids[..2], 200), (&ids[2..3], 502)] {
        assert_eq!(detail(ids).await.status, status);
    }
    let light = client.query(PROBE, json!({ "ids": ids })).await.data();
    assert_eq!(light["nodes"][2]["id"], ids[2]);
    github.set_weight_limit(None, Overload::ResourceLimits);
    let reply = detail(&ids).await;
    let nodes = &reply.json()["data"]["nodes"];
    assert!(nodes[1].is_object() && nodes[2].is_null() && nodes[3].is_object());
    let path = json!(["nodes", 2, "additions"]);
    assert_eq!(
        reply.errors(),
        [("RESOURCE_LIMITS_EXCEEDED".to_owned(), path)]
    );
}
