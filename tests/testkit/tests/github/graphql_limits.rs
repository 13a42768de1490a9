//! Budgets, secondary limits and heavy queries of the GraphQL API.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use testkit::github::{
    Fault, GitHub, LimitSpelling, Matching, Overload, RecordedQuery, Resource, SecondaryRules,
};

use crate::client::Client;
use crate::graphql::{DETAIL, PROBE};
use crate::limits::rate;

/// `pull_requests` open pull requests of `acme/web`, by id, and a user who may read them.
fn world(github: &GitHub, pull_requests: usize) -> (Client, Vec<String>) {
    let ann = github.user("ann");
    github.repository("acme/web").grant(&ann);
    let ids = (0..pull_requests)
        .map(|_| {
            let number = github.pull_request("acme/web").open();
            let found = github.find_pull_request("acme/web", number);
            found.expect("it was just created").node_id()
        })
        .collect();
    (Client::with(github, &ann.token()), ids)
}

fn recorded(github: &GitHub) -> RecordedQuery {
    let requests = github.requests_to(Matching::graphql());
    let last = requests.last().expect("there was a query");
    last.graphql.clone().expect("it is a query")
}

const VIEWER: &str = "query Viewer { viewer { login } }";

#[tokio::test]
async fn the_last_good_answer_has_nothing_left_and_the_next_is_limited() {
    let github = GitHub::start().await;
    let (client, _) = world(&github, 0);
    let budget = github.budget_of("ann", Resource::Graphql);
    budget.remaining(1).resets_in(Duration::from_secs(600));

    let last = client.query(VIEWER, json!({})).await;
    assert_eq!(last.data()["viewer"]["login"], "ann");
    assert_eq!(rate(&last, "remaining"), 0);
    let refused = client.query(VIEWER, json!({})).await;

    assert_eq!(refused.status, 200);
    assert_eq!(refused.errors(), [("RATE_LIMITED".to_owned(), Value::Null)]);
    assert!(refused.json().get("data").is_none());
    assert_eq!(rate(&refused, "remaining"), 0);
    assert_eq!(rate(&refused, "reset"), budget.get().reset);
    assert_eq!(client.get("/user").await.status, 200, "REST has its own");

    github.set_limit_spelling(LimitSpelling::RateLimit);
    let refused = client.query(VIEWER, json!({})).await.json();
    assert_eq!(refused["errors"][0]["type"], "RATE_LIMIT");
    assert_eq!(refused["errors"][0]["code"], "graphql_rate_limit");

    github.set_clock_skew(SignedDuration::from_secs(601));
    assert_eq!(
        rate(&client.query(VIEWER, json!({})).await, "remaining"),
        4999
    );
}

#[tokio::test]
async fn a_query_that_costs_more_than_is_left_is_limited_with_something_left() {
    let github = GitHub::start().await;
    let (client, ids) = world(&github, 1);
    github.budget_of("ann", Resource::Graphql).remaining(1);
    let query = "query Q($ids: [ID!]!) { nodes(ids: $ids) { ... on PullRequest {
        latestReviews(first: 1) { totalCount } reviews(first: 1) { totalCount } } } }";
    let ids: Vec<&String> = std::iter::repeat_n(&ids[0], 100).collect();

    let refused = client.query(query, json!({ "ids": ids })).await;

    assert_eq!(refused.errors()[0].0, "RATE_LIMITED");
    assert_eq!(rate(&refused, "remaining"), 1);
    assert_eq!(recorded(&github).cost, 2);
    assert_eq!(recorded(&github).errors, ["RATE_LIMITED"]);
}

#[tokio::test]
async fn without_limits_there_are_no_headers_and_no_rate_limit() {
    let github = GitHub::start().await;
    let (client, _) = world(&github, 0);
    github.set_rate_limits(false);
    let reply = client
        .query("{ rateLimit { cost } viewer { login } }", json!({}))
        .await;
    assert_eq!(reply.data()["rateLimit"], Value::Null);
    assert_eq!(reply.header("x-ratelimit-remaining"), "");
}

#[tokio::test]
async fn without_headers_the_response_body_contains_the_limits() {
    let github = GitHub::start().await;
    let (client, _) = world(&github, 0);
    github.set_limit_headers(false);
    github.budget_of("ann", Resource::Graphql).remaining(1);
    let query = || client.query("{ rateLimit { remaining } viewer { login } }", json!({}));
    let reply = query().await;
    assert_eq!(reply.data()["rateLimit"]["remaining"], 0);
    assert_eq!(reply.header("x-ratelimit-remaining"), "");
    assert_eq!(query().await.errors()[0].0, "RATE_LIMITED");
}

#[tokio::test]
async fn a_pause_stops_both_apis_until_it_is_over_whatever_is_left() {
    let github = GitHub::start().await;
    let (client, _) = world(&github, 0);
    let bob = Client::with(&github, &github.user("bob").token());
    github.pause("ann", Duration::from_secs(90));

    for (tells_when, graphql_status, shown) in [(true, 403, "90"), (false, 200, "")] {
        github.set_secondary_rules(SecondaryRules {
            tells_when,
            graphql_status,
            rest_status: 429,
            ..SecondaryRules::default()
        });
        let rest = client.get("/user").await;
        let query = client.query(VIEWER, json!({})).await;
        assert_eq!((rest.status, query.status), (429, graphql_status));
        for reply in [rest, query] {
            assert!(
                reply.body.contains("secondary rate limit"),
                "{}",
                reply.body
            );
            assert!(rate(&reply, "remaining") > 0);
            assert_eq!(reply.header("retry-after"), shown);
        }
    }
    assert!(github.is_paused("ann") && !github.is_paused("bob"));
    assert_eq!(bob.get("/user").await.status, 200);
    github.set_clock_skew(SignedDuration::from_secs(91));
    assert_eq!(client.query(VIEWER, json!({})).await.status, 200);
    assert_eq!(client.get("/user").await.status, 200);
}

#[tokio::test]
async fn too_many_points_in_a_minute_pause_the_user() {
    let github = GitHub::start().await;
    let (client, _) = world(&github, 0);
    github.enforce_secondary(SecondaryRules {
        rest_points: 2,
        graphql_points: 3,
        ..SecondaryRules::default()
    });

    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(client.query(VIEWER, json!({})).await.status);
    }

    assert_eq!(statuses, [200, 200, 200, 403]);
    assert!(github.is_paused("ann"));
    assert_eq!(
        client.get("/rate_limit").await.status,
        403,
        "it costs no budget, but this"
    );
    github.set_clock_skew(SignedDuration::from_secs(61));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.get("/user").await.status);
    }
    assert_eq!(statuses, [200, 200, 403]);
}

#[tokio::test]
async fn too_many_requests_at_once_pause_the_user() {
    let github = GitHub::start().await;
    let (client, _) = world(&github, 0);
    github.enforce_secondary(SecondaryRules {
        concurrent: 2,
        ..SecondaryRules::default()
    });
    let hold = github.hold(Matching::any());
    let queries = (0..3).map(|_| client.query(VIEWER, json!({})));
    let all = futures_util::future::join_all(queries);
    let release = async {
        hold.waiting(3).await;
        hold.release();
    };

    let (replies, ()) = tokio::join!(all, release);

    let refused = replies.iter().filter(|reply| reply.status == 403).count();
    assert_eq!(refused, 3, "the first to be answered finds three inside");
}

#[tokio::test]
async fn faults_hit_queries_by_operation_and_caller() {
    let github = GitHub::start().await;
    let (client, ids) = world(&github, 1);
    let matching = Matching::graphql().operation("Probe").by("ann");
    github
        .fault(matching)
        .once()
        .respond(Fault::SecondaryLimit {
            status: 200,
            retry_after: None,
        });
    assert_eq!(client.query(VIEWER, json!({})).await.status, 200);
    let reply = client.query(PROBE, json!({ "ids": ids })).await;
    assert_eq!(reply.status, 200);
    assert!(
        reply.body.contains("secondary rate limit"),
        "{}",
        reply.body
    );
    assert_eq!(reply.header("x-ratelimit-resource"), "graphql");
    assert!(client.query(PROBE, json!({ "ids": ids })).await.data()["nodes"][0].is_object());
}

#[tokio::test]
async fn a_heavy_query_fails_as_a_whole_and_smaller_ones_pass() {
    let github = GitHub::start().await;
    let (client, ids) = world(&github, 8);
    client.query(DETAIL, json!({ "ids": ids })).await.data();
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
        let reply = client.query(DETAIL, json!({ "ids": ids })).await;
        assert_eq!(reply.status, status);
        assert!(reply.body.contains(text), "{}", reply.body);
        assert_eq!(
            rate(&reply, "remaining"),
            i64::try_from(before).unwrap() - 1
        );
        for half in ids.chunks(4) {
            client.query(DETAIL, json!({ "ids": half })).await.data();
        }
    }
    github.set_weight_limit(None, Overload::BadGateway);
    client.query(DETAIL, json!({ "ids": ids })).await.data();
}

#[tokio::test]
async fn resource_limits_leave_what_was_answered_until_then() {
    let github = GitHub::start().await;
    let (client, ids) = world(&github, 8);
    client.query(DETAIL, json!({ "ids": ids })).await.data();
    github.set_weight_limit(Some(recorded(&github).weight / 2), Overload::ResourceLimits);

    let reply = client.query(DETAIL, json!({ "ids": ids })).await;

    let body = reply.json();
    let nodes = body["data"]["nodes"].as_array().unwrap();
    let answered = nodes.iter().take_while(|node| node.is_object()).count();
    assert!((3..=6).contains(&answered), "{answered} of {}", nodes.len());
    assert!(nodes[answered..].iter().all(Value::is_null));
    let expected: Vec<(String, Value)> = (answered..8)
        .map(|index| {
            (
                "RESOURCE_LIMITS_EXCEEDED".to_owned(),
                json!(["nodes", index]),
            )
        })
        .collect();
    assert_eq!(reply.errors(), expected);
    assert_eq!(body["data"]["viewer"]["login"], "ann");
    github.set_node_limit(10);
    let reply = client.query(DETAIL, json!({ "ids": ids })).await;
    assert_eq!(reply.errors()[0].0, "MAX_NODE_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn one_pull_request_can_spoil_every_heavy_query_it_is_in() {
    let github = GitHub::start().await;
    let (client, ids) = world(&github, 4);
    github.poison("acme/web", 3);
    assert_eq!(
        client.query(DETAIL, json!({ "ids": ids })).await.status,
        502
    );
    assert_eq!(
        client.query(DETAIL, json!({"ids": ids[..2]})).await.status,
        200
    );
    assert_eq!(
        client.query(DETAIL, json!({"ids": ids[2..3]})).await.status,
        502
    );
    let light = client.query(PROBE, json!({ "ids": ids })).await.data();
    assert_eq!(light["nodes"][2]["id"], ids[2]);

    github.set_weight_limit(None, Overload::ResourceLimits);
    let reply = client.query(DETAIL, json!({ "ids": ids })).await;
    let data = &reply.json()["data"]["nodes"];
    assert_eq!(data[2], Value::Null);
    assert!(data[1].is_object() && data[3].is_object());
    let path = json!(["nodes", 2, "additions"]);
    assert_eq!(
        reply.errors(),
        [("RESOURCE_LIMITS_EXCEEDED".to_owned(), path)]
    );
}
