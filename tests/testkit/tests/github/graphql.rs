//! What the GraphQL API says about the model.

use serde_json::{Value, json};
use testkit::github::{GitHub, Mergeable, Resource, ReviewState};

use crate::client::Client;

/// The three queries that a sync engine sends: a cheap look, everything, and a search by branch.
pub(crate) const PROBE: &str = "
query Probe($ids: [ID!]!) {
  nodes(ids: $ids) {
    __typename
    ... on PullRequest {
      id updatedAt state isDraft headRefOid baseRefOid reviewDecision isInMergeQueue
    }
  }
  rateLimit { cost limit nodeCount remaining resetAt used }
}";

pub(crate) const DETAIL: &str = "
query Detail($ids: [ID!]!) {
  viewer { databaseId login }
  nodes(ids: $ids) { __typename ...Full }
  rateLimit { cost nodeCount remaining }
}
fragment Full on PullRequest {
  id number title url state isDraft merged mergedAt closedAt createdAt updatedAt
  additions deletions changedFiles headRefName headRefOid baseRefName baseRefOid
  isCrossRepository isInMergeQueue mergeable reviewDecision
  author { __typename login avatarUrl }
  repository { id databaseId nameWithOwner isArchived isPrivate }
  headRepository { id nameWithOwner }
  headRepositoryOwner { __typename login }
  commits { totalCount }
  latestOpinionatedReviews(first: 20) { nodes { state author { login } submittedAt } }
}";

pub(crate) const DISCOVER: &str = "
query Discover($o0: String!, $r0: String!, $h0: String!, $f0: String!) {
  d0: repository(owner: $o0, name: $r0, followRenames: true) {
    id databaseId nameWithOwner isArchived isFork
    parent { id nameWithOwner }
    open: pullRequests(headRefName: $h0, states: [OPEN], first: 5,
        orderBy: {field: UPDATED_AT, direction: DESC}) {
      nodes { id number headRepositoryOwner { login } headRepository { nameWithOwner } }
    }
    head: ref(qualifiedName: $f0) {
      associatedPullRequests(states: [OPEN], first: 5) {
        nodes { id number isCrossRepository baseRepository { id nameWithOwner } }
      }
    }
  }
}";

fn id_of(github: &GitHub, full_name: &str, number: u64) -> String {
    let found = github.find_pull_request(full_name, number);
    found.expect("there is such a pull request").node_id()
}

fn discover(owner: &str, name: &str, branch: &str) -> Value {
    json!({"o0": owner, "r0": name, "h0": branch, "f0": format!("refs/heads/{branch}")})
}

#[tokio::test]
async fn a_probe_tells_what_changed_for_one_point() {
    let github = GitHub::start().await;
    let ann = github.user("ann");
    github.repository("acme/web").grant(&ann);
    let ids: Vec<String> = (0..100)
        .map(|_| {
            let number = github.pull_request("acme/web").draft().open();
            id_of(&github, "acme/web", number)
        })
        .collect();
    let client = Client::with(&github, &ann.token());

    let reply = client.query(PROBE, json!({ "ids": ids })).await;

    let data = reply.data();
    let first = github.find_pull_request("acme/web", 1).unwrap();
    assert_eq!(
        data["nodes"][0],
        json!({
            "__typename": "PullRequest",
            "id": first.node_id(),
            "updatedAt": first.updated_at.to_string(),
            "state": "OPEN",
            "isDraft": true,
            "headRefOid": first.head.sha,
            "baseRefOid": first.base_sha,
            "reviewDecision": null,
            "isInMergeQueue": false,
        })
    );
    assert_eq!(data["nodes"].as_array().unwrap().len(), 100);
    let bucket = github.budget_of("ann", Resource::Graphql).get();
    assert_eq!(
        data["rateLimit"],
        json!({
            "cost": 1,
            "limit": 5000,
            "nodeCount": 100,
            "remaining": 4999,
            "used": 1,
            "resetAt": jiff::Timestamp::from_second(bucket.reset).unwrap().to_string(),
        })
    );
    assert_eq!(reply.header("x-ratelimit-resource"), "graphql");
    assert_eq!(reply.header("x-ratelimit-remaining"), "4999");
    assert_eq!(github.budget("ann").get().used, 0);
}

#[tokio::test]
async fn a_detail_query_has_everything_in_the_order_asked() {
    let github = GitHub::start().await;
    let ann = github.user("ann");
    github.repository("acme/web").grant(&ann);
    github.fork("acme/web", "dmitri").grant(&ann);
    let number = github
        .pull_request("acme/web")
        .head("fix")
        .from_fork("dmitri/web")
        .author("dmitri")
        .title("Say \"hi\"\n")
        .diff(7, 3, 2)
        .commits(4)
        .open();
    github.review("acme/web", number, "bob", ReviewState::ChangesRequested);
    github.review("acme/web", number, "bob", ReviewState::Approved);
    github.review("acme/web", number, "bob", ReviewState::Commented);
    github.edit_pull_request("acme/web", number, |found| {
        found.mergeable = Mergeable::Conflicting;
    });
    let id = id_of(&github, "acme/web", number);
    let client = Client::with(&github, &ann.token());
    let rest = client.get("/repos/acme/web/pulls/1").await.json();

    let reply = client.query(DETAIL, json!({ "ids": [id] })).await;

    let data = reply.data();
    let node = &data["nodes"][0];
    assert_eq!(
        data["viewer"],
        json!({"databaseId": ann.id(), "login": "ann"})
    );
    // The two APIs agree.
    for (graphql, rest) in [
        (&node["id"], &rest["node_id"]),
        (&node["url"], &rest["html_url"]),
        (&node["title"], &rest["title"]),
        (&node["headRefOid"], &rest["head"]["sha"]),
        (&node["additions"], &rest["additions"]),
        (&node["commits"]["totalCount"], &rest["commits"]),
        (&node["repository"]["id"], &rest["base"]["repo"]["node_id"]),
        (
            &node["repository"]["nameWithOwner"],
            &rest["base"]["repo"]["full_name"],
        ),
        (
            &node["headRepository"]["nameWithOwner"],
            &rest["head"]["repo"]["full_name"],
        ),
        (&node["updatedAt"], &rest["updated_at"]),
    ] {
        assert_eq!(graphql, rest);
    }
    // But for what GraphQL adds to an avatar's address.
    let avatars = [&node["author"]["avatarUrl"], &rest["user"]["avatar_url"]];
    let [graphql, rest_avatar] = avatars.map(|url| url.as_str().unwrap());
    assert!(
        graphql.starts_with(&format!("{rest_avatar}&u=")),
        "{graphql}"
    );
    assert_eq!(node["isCrossRepository"], true);
    assert_eq!(node["mergeable"], "CONFLICTING");
    assert_eq!(rest["mergeable"], false);
    assert_eq!(node["author"]["__typename"], "User");
    assert_eq!(node["headRepositoryOwner"]["login"], "dmitri");
    let reviews = node["latestOpinionatedReviews"]["nodes"]
        .as_array()
        .unwrap();
    assert_eq!(reviews.len(), 1, "a remark hides no verdict: {reviews:?}");
    assert_eq!(reviews[0]["state"], "APPROVED");
    assert_eq!(data["rateLimit"]["nodeCount"], 21);
    // Members come in the order of the query.
    let places: Vec<usize> = [
        "\"viewer\"",
        "\"nodes\"",
        "\"number\"",
        "\"title\"",
        "\"rateLimit\"",
    ]
    .iter()
    .map(|name| reply.body.find(name).unwrap())
    .collect();
    assert!(places.is_sorted(), "{}", reply.body);
}

#[tokio::test]
async fn discovery_finds_pull_requests_by_branch_and_from_forks() {
    let github = GitHub::start().await;
    let ann = github.user("ann");
    github.repository("acme/web").grant(&ann);
    github.fork("acme/web", "dmitri").grant(&ann);
    github.pull_request("acme/web").head("fix").open();
    let forked = github
        .pull_request("acme/web")
        .head("fix")
        .from_fork("dmitri/web")
        .open();
    github.pull_request("acme/web").head("fix").closed();
    github.pull_request("acme/web").head("other").open();
    let client = Client::with(&github, &ann.token());

    let base = client.query(DISCOVER, discover("ACME", "Web", "fix")).await;
    let fork = client
        .query(DISCOVER, discover("dmitri", "web", "fix"))
        .await;
    let nothing = client
        .query(DISCOVER, discover("acme", "web", "gone"))
        .await;

    let numbers = |list: &Value| -> Vec<u64> {
        let nodes = list["nodes"].as_array().unwrap();
        nodes
            .iter()
            .filter_map(|node| node["number"].as_u64())
            .collect()
    };
    let base = base.data();
    // The name of the branch is all that counts, wherever it is.
    assert_eq!(numbers(&base["d0"]["open"]), [2, 1]);
    assert_eq!(
        base["d0"]["open"]["nodes"][0]["headRepositoryOwner"]["login"],
        "dmitri"
    );
    assert_eq!(numbers(&base["d0"]["head"]["associatedPullRequests"]), [1]);
    let fork = fork.data();
    assert_eq!(numbers(&fork["d0"]["open"]), [0_u64; 0]);
    let found = &fork["d0"]["head"]["associatedPullRequests"];
    assert_eq!(numbers(found), [forked]);
    assert_eq!(
        found["nodes"][0]["baseRepository"]["nameWithOwner"],
        "acme/web"
    );
    assert_eq!(fork["d0"]["parent"]["nameWithOwner"], "acme/web");
    let nothing = nothing.data();
    assert_eq!(nothing["d0"]["head"], Value::Null);
    assert_eq!(nothing["d0"]["open"]["nodes"], json!([]));
}
