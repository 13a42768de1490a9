//! What the GraphQL API says about the model.

use serde_json::{Value, json};
use testkit::github::{Mergeable, Resource, ReviewState};

use crate::client::{id_of, world};

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

fn discover(owner: &str, name: &str, branch: &str) -> Value {
    json!({"o0": owner, "r0": name, "h0": branch, "f0": format!("refs/heads/{branch}")})
}

#[tokio::test]
async fn a_probe_tells_what_changed_for_one_point() {
    let (github, client, ids) = world(100).await;
    github.set_draft("acme/web", 1, true);
    let reply = client.query(PROBE, json!({ "ids": ids })).await;
    let data = reply.data();
    let first = github.find_pull_request("acme/web", 1).unwrap();
    let expected = json!({
        "__typename": "PullRequest",
        "id": first.node_id(),
        "updatedAt": first.updated_at.to_string(),
        "state": "OPEN",
        "isDraft": true,
        "headRefOid": first.head.sha,
        "baseRefOid": first.base_sha,
        "reviewDecision": null,
        "isInMergeQueue": false,
    });
    assert_eq!(data["nodes"][0], expected);
    assert_eq!(data["nodes"].as_array().unwrap().len(), 100);
    let reset = github.budget_of("ann", Resource::Graphql).get().reset;
    let reset = jiff::Timestamp::from_second(reset).unwrap().to_string();
    let rate = json!({
        "cost": 1, "limit": 5000, "nodeCount": 100, "remaining": 4999, "used": 1, "resetAt": reset,
    });
    assert_eq!(data["rateLimit"], rate);
    assert_eq!(reply.header("x-ratelimit-resource"), "graphql");
    assert_eq!(reply.header("x-ratelimit-remaining"), "4999");
    assert_eq!(github.budget("ann").get().used, 0);
}

#[tokio::test]
async fn a_detail_query_has_everything_in_the_order_asked() {
    let (github, client, _) = world(0).await;
    let ann = github.user("ann");
    github.fork("acme/web", "dmitri").grant(&ann);
    let new = github.pull_request("acme/web").from_fork("dmitri/web");
    let new = new.head("fix").author("dmitri").title("Say \"hi\"\n");
    let number = new.diff(7, 3, 2).commits(4).open();
    for state in [
        ReviewState::ChangesRequested,
        ReviewState::Approved,
        ReviewState::Commented,
    ] {
        github.review("acme/web", number, "bob", state);
    }
    github.edit_pull_request("acme/web", number, |found| {
        found.mergeable = Mergeable::Conflicting;
    });
    let rest = client.get("/repos/acme/web/pulls/1").await.json();
    let ids = [id_of(&github, number)];
    let reply = client.query(DETAIL, json!({ "ids": ids })).await;
    let data = reply.data();
    let node = &data["nodes"][0];
    let viewer = json!({"databaseId": ann.id(), "login": "ann"});
    assert_eq!(data["viewer"], viewer);
    // The two APIs agree.
    for (graphql, over_rest) in [
        ("/id", "/node_id"),
        ("/url", "/html_url"),
        ("/title", "/title"),
        ("/headRefOid", "/head/sha"),
        ("/additions", "/additions"),
        ("/commits/totalCount", "/commits"),
        ("/repository/id", "/base/repo/node_id"),
        ("/repository/nameWithOwner", "/base/repo/full_name"),
        ("/headRepository/nameWithOwner", "/head/repo/full_name"),
        ("/updatedAt", "/updated_at"),
    ] {
        assert_eq!(node.pointer(graphql), rest.pointer(over_rest), "{graphql}");
    }
    // But for what GraphQL adds to an avatar's address.
    let avatar = node["author"]["avatarUrl"].as_str().unwrap();
    let over_rest = rest["user"]["avatar_url"].as_str().unwrap();
    assert!(avatar.starts_with(&format!("{over_rest}&u=")), "{avatar}");
    assert_eq!(node["isCrossRepository"], true);
    let mergeable = (&node["mergeable"], &rest["mergeable"]);
    assert_eq!(mergeable, (&json!("CONFLICTING"), &json!(false)));
    assert_eq!(node["author"]["__typename"], "User");
    assert_eq!(node["headRepositoryOwner"]["login"], "dmitri");
    let reviews = node["latestOpinionatedReviews"]["nodes"]
        .as_array()
        .unwrap();
    assert_eq!(reviews.len(), 1, "a remark hides no verdict: {reviews:?}");
    assert_eq!(reviews[0]["state"], "APPROVED");
    assert_eq!(data["rateLimit"]["nodeCount"], 21);
    // Members come in the order of the query.
    let members = ["viewer", "nodes", "number", "title", "rateLimit"];
    let places = members.map(|name| reply.body.find(&format!("\"{name}\"")).unwrap());
    assert!(places.is_sorted(), "{}", reply.body);
}

#[tokio::test]
async fn discovery_finds_pull_requests_by_branch_and_from_forks() {
    let (github, client, _) = world(0).await;
    let fork = github.fork("acme/web", "dmitri");
    fork.grant(&github.user("ann"));
    let new = || github.pull_request("acme/web").head("fix");
    new().open();
    let forked = new().from_fork("dmitri/web").open();
    new().closed();
    new().head("other").open();
    let discover = async |owner, name, branch| {
        let variables = discover(owner, name, branch);
        client.query(DISCOVER, variables).await.data()["d0"].take()
    };
    let numbers = |list: &Value| -> Vec<u64> {
        let nodes = list["nodes"].as_array().unwrap().iter();
        nodes.filter_map(|node| node["number"].as_u64()).collect()
    };
    // The name of the branch is all that counts, wherever it is.
    let base = discover("ACME", "Web", "fix").await;
    assert_eq!(numbers(&base["open"]), [2, 1]);
    let owner = &base["open"]["nodes"][0]["headRepositoryOwner"]["login"];
    assert_eq!(owner, "dmitri");
    assert_eq!(numbers(&base["head"]["associatedPullRequests"]), [1]);
    let fork = discover("dmitri", "web", "fix").await;
    assert_eq!(numbers(&fork["open"]), [0_u64; 0]);
    let found = &fork["head"]["associatedPullRequests"];
    assert_eq!(numbers(found), [forked]);
    assert_eq!(
        found["nodes"][0]["baseRepository"]["nameWithOwner"],
        "acme/web"
    );
    assert_eq!(fork["parent"]["nameWithOwner"], "acme/web");
    let nothing = discover("acme", "web", "gone").await;
    assert_eq!(
        (&nothing["head"], &nothing["open"]["nodes"]),
        (&Value::Null, &json!([]))
    );
}
