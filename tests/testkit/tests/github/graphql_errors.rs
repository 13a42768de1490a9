//! Queries that the GraphQL API refuses, and those that it answers in part.

use serde_json::{Value, json};
use testkit::github::Caller;

use crate::client::{Client, Reply, world};
use crate::graphql::{DETAIL, DISCOVER, PROBE};

/// The only error of an answer: its type or code, and its path.
fn only_error(reply: &Reply) -> (String, Value) {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let mut errors = reply.errors();
    assert_eq!(errors.len(), 1, "{}", reply.body);
    errors.swap_remove(0)
}

#[tokio::test]
async fn what_the_host_lacks_or_cannot_read_is_refused_as_a_whole_with_its_code() {
    let (github, client, _) = world(1).await;
    let cases = [
        (
            "query Q { viewer { nope } }",
            "undefinedField",
            json!(["query Q", "viewer", "nope"]),
        ),
        (
            "{ viewer { ... on Nope { login } } }",
            "undefinedField",
            json!(["query", "viewer", "login"]),
        ),
        (
            "{ viewer { ...F } } fragment F on User { ...F }",
            "infiniteLoop",
            Value::Null,
        ),
        (
            "mutation M { doIt { id } }",
            "undefinedField",
            json!(["mutation M", "doIt"]),
        ),
        ("{ viewer ", "", Value::Null),
    ];
    for (query, code, path) in cases {
        let reply = client.query(query, json!({})).await;
        assert_eq!(only_error(&reply), (code.to_owned(), path), "{query}");
        assert!(reply.json().get("data").is_none(), "{query}");
    }
    let unexpected = github.unexpected();
    assert_eq!(
        unexpected.len(),
        3,
        "undefined fields and types: {unexpected:#?}"
    );
    let reply = client.query("{ viewer { nope } }", json!({})).await.json();
    let error = &reply["errors"][0];
    assert_eq!(
        error["message"],
        "Field 'nope' doesn't exist on type 'User'"
    );
    assert_eq!(error["locations"], json!([{"line": 1, "column": 12}]));
    assert_eq!(error["extensions"]["typeName"], "User");
}

#[tokio::test]
async fn requests_that_are_no_queries_are_refused() {
    let (github, client, _) = world(1).await;
    let empty = client
        .query_request("", &json!({}))
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(empty.status().as_u16(), 400);
    for ids in [Value::Null, json!([true])] {
        let reply = client.query(PROBE, json!({ "ids": ids })).await;
        assert!(
            reply.body.contains("provided invalid value"),
            "{}",
            reply.body
        );
    }
    let reply = client
        .query(
            "query A { viewer { id } } query B { viewer { id } }",
            json!({}),
        )
        .await;
    assert!(reply.body.contains("operation name"), "{}", reply.body);

    let anonymous = Client::anonymous(&github)
        .query("{ viewer { login } }", json!({}))
        .await;
    assert_eq!(anonymous.status, 401);
    let unknown = Client::with(&github, "gho_unknown")
        .query("{ viewer { login } }", json!({}))
        .await;
    assert_eq!(
        (unknown.status, unknown.message().as_str()),
        (401, "Bad credentials")
    );
    // Below the prefix of an enterprise server's REST API there is no GraphQL.
    let misplaced = Client::at(&github.enterprise_base_url(), None)
        .query("{ x }", json!({}))
        .await;
    assert_eq!(misplaced.status, 404);
    let beside = format!("{}/api", github.api_base_url());
    let token = github.user("ann").token();
    let enterprise = Client::at(&beside, Some(&token))
        .query("{ viewer { login } }", json!({}))
        .await;
    assert_eq!(enterprise.data()["viewer"]["login"], "ann");
}

#[tokio::test]
async fn what_is_missing_is_null_at_its_path_and_the_rest_is_there() {
    let (github, client, ids) = world(1).await;
    github.repository("acme/secret");
    github.pull_request("acme/secret").open();
    let hidden = github
        .find_pull_request("acme/secret", 1)
        .unwrap()
        .node_id();
    let reply = client
        .query(PROBE, json!({"ids": [hidden, ids[0], "nonsense"]}))
        .await;
    assert_eq!(
        reply.errors(),
        [
            ("NOT_FOUND".to_owned(), json!(["nodes", 0])),
            ("NOT_FOUND".to_owned(), json!(["nodes", 2])),
        ]
    );
    let data = &reply.json()["data"]["nodes"];
    assert_eq!((&data[0], &data[2]), (&Value::Null, &Value::Null));
    assert_eq!(data[1]["id"], ids[0]);

    let query = "query Q($n: Int!) {
        a: repository(owner: \"acme\", name: \"secret\") { id }
        b: repository(owner: \"acme\", name: \"web\") { id pullRequest(number: $n) { id } }
        c: node(id: \"x\") { id }
    }";
    let reply = client.query(query, json!({"n": 99})).await;
    assert_eq!(
        reply.errors(),
        [
            ("NOT_FOUND".to_owned(), json!(["a"])),
            ("NOT_FOUND".to_owned(), json!(["b", "pullRequest"])),
            ("NOT_FOUND".to_owned(), json!(["c"])),
        ]
    );
    let errors = &reply.json()["errors"];
    assert_eq!(
        errors[0]["message"],
        "Could not resolve to a Repository with the name 'acme/secret'."
    );
    assert_eq!(
        errors[1]["message"],
        "Could not resolve to a PullRequest with the number of 99."
    );
    assert_eq!(reply.json()["data"]["b"]["pullRequest"], Value::Null);
}

#[tokio::test]
async fn a_renamed_repository_answers_to_its_old_name_with_the_new_one() {
    let (github, client, ids) = world(1).await;
    github.rename("acme/web", "acme/site");
    let query = "query Q($follow: Boolean) {
        repository(owner: \"acme\", name: \"web\", followRenames: $follow) { nameWithOwner }
        resource(url: \"https://github.com/acme/web/pull/1\") { ... on PullRequest { id } }
    }";

    for follow in [json!({}), json!({"follow": true})] {
        let data = client.query(query, follow).await.data();
        assert_eq!(data["repository"]["nameWithOwner"], "acme/site");
        assert_eq!(data["resource"]["id"], ids[0]);
    }
    let strict = client.query(query, json!({"follow": false})).await;
    assert_eq!(only_error(&strict).0, "NOT_FOUND");
    let detail = client.query(DETAIL, json!({ "ids": ids })).await.data();
    let found = &detail["nodes"][0]["repository"]["nameWithOwner"];
    assert_eq!(*found, "acme/site", "ids survive a rename");
}

#[tokio::test]
async fn what_a_query_may_touch_is_bounded() {
    let (_github, client, _) = world(1).await;
    let ids: Vec<String> = (0..101).map(|index| format!("PR_{index}")).collect();
    let reply = client.query(PROBE, json!({ "ids": ids })).await;
    assert_eq!(
        only_error(&reply),
        ("ARGUMENT_LIMIT".to_owned(), json!(["nodes"]))
    );

    let pull_requests = |arguments: &str| {
        format!(
            "{{ repository(owner: \"acme\", name: \"web\") {{ \
             pullRequests{arguments} {{ nodes {{ id }} }} }} }}"
        )
    };
    for (arguments, kind) in [
        ("", "MISSING_PAGINATION_BOUNDARIES"),
        ("(first: 101)", "EXCESSIVE_PAGINATION"),
        ("(last: -1)", "ARGUMENT_ERROR"),
    ] {
        let reply = client.query(&pull_requests(arguments), json!({})).await;
        let path = json!(["repository", "pullRequests"]);
        assert_eq!(only_error(&reply), (kind.to_owned(), path));
    }

    let deep = "{ repository(owner: \"acme\", name: \"web\") {
        pullRequests(first: 100) { nodes { reviews(first: 100) { nodes { pullRequest {
            latestReviews(first: 50) { nodes { id } } } } } } } } }";
    let reply = client.query(deep, json!({})).await;
    assert_eq!(only_error(&reply).0, "MAX_NODE_LIMIT_EXCEEDED");
    assert!(
        reply.body.contains("510,100 possible nodes"),
        "{}",
        reply.body
    );
}

#[tokio::test]
async fn queries_are_recorded_with_their_price_and_without_their_token() {
    let (github, client, ids) = world(1).await;
    client.query(PROBE, json!({"ids": [ids[0], "gone"]})).await;
    let variables = json!({"o0": "acme", "r0": "web", "h0": "fix", "f0": "fix"});
    client.query(DISCOVER, variables.clone()).await;

    let requests = github.requests_to("/graphql");
    let probe = requests[0].graphql.as_ref().expect("it is a query");
    assert_eq!(probe.operation.as_deref(), Some("Probe"));
    assert_eq!((probe.cost, probe.node_count), (1, 2));
    assert_eq!((probe.aliases, probe.ids), (2, 2));
    assert_eq!(probe.errors, ["NOT_FOUND"]);
    let discover = requests[1].graphql.as_ref().expect("it is a query");
    assert_eq!(discover.operation.as_deref(), Some("Discover"));
    assert_eq!((discover.aliases, discover.ids), (1, 0));
    assert_eq!(discover.variables, variables);
    for request in &requests {
        assert_eq!(request.caller, Caller::User("ann".to_owned()));
        assert_eq!(request.header("authorization"), Some("[redacted]"));
    }
}

#[tokio::test]
async fn prices_follow_the_published_formula() {
    let (_github, client, _) = world(1).await;
    // The example of GitHub's documentation has 5,101 requests and costs 51 points.
    let query = "query Q($ids: [ID!]!, $many: Int = 50) {
        viewer { login }
        nodes(ids: $ids) { ... on Repository {
            pullRequests(first: $many) { nodes { latestReviews(first: 60) { totalCount } } }
        } }
        rateLimit(dryRun: true) { cost nodeCount used }
    }";
    let ids: Vec<String> = (0..100).map(|_| "x".to_owned()).collect();
    let data = client.query(query, json!({ "ids": ids })).await.data();
    let price = json!({"cost": 51, "nodeCount": 305_100, "used": 0});
    assert_eq!(
        data,
        json!({ "rateLimit": price }),
        "a dry run gives the price only"
    );
    let data = client
        .query(query, json!({"ids": ids, "many": 1}))
        .await
        .data();
    assert_eq!(data["rateLimit"]["cost"], 2, "2.01 points are two");
    let data = client
        .query("{ rateLimit { cost } }", json!({}))
        .await
        .data();
    assert_eq!(data["rateLimit"]["cost"], 1, "nothing is free");
}
