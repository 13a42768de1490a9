//! Checks, mergeability, threads and the merge queue: one model over both interfaces.

use serde_json::{Value, json};
use testkit::github::{GitHub, Mergeable, RunState};

use crate::client::{Client, world};

const WEB: &str = "acme/web";

const QUERY: &str = "
query Checks($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on PullRequest {
      updatedAt
      statusCheckRollup {
        state
        counts: contexts {
          totalCount
          checkRunCountsByState { state count }
          statusContextCountsByState { state count }
        }
        contexts(first: 100) {
          nodes {
            __typename
            ... on CheckRun { name status conclusion startedAt checkSuite { workflowRun { workflow { name } } } }
            ... on StatusContext { context state }
          }
        }
      }
      mergeable
      mergeStateStatus
      mergeQueueEntry { position }
      reviewThreads(first: 100) { nodes { id isResolved } }
      reviewRequests(first: 20) { nodes { requestedReviewer { ... on User { login } ... on Team { slug } } } }
      baseRef { refUpdateRule { requiredStatusCheckContexts } }
    }
  }
}";

/// The number of the only pull request.
const PULL: u64 = 1;

async fn asked(client: &Client, ids: &[String]) -> Value {
    let mut data = client.query(QUERY, json!({ "ids": ids })).await.data();
    data["nodes"][0].take()
}

/// The path of the pull request's head over REST.
fn head(github: &GitHub) -> String {
    let found = github.find_pull_request(WEB, PULL);
    let sha = found.expect("it is there").head.sha;
    format!("/repos/{WEB}/commits/{sha}")
}

/// The runs and the statuses of the pull request's head over REST.
async fn listed(github: &GitHub, client: &Client) -> [Value; 2] {
    let get = async |list: &str| {
        let reply = client.get(&format!("{}/{list}", head(github))).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    };
    [get("check-runs").await, get("status").await]
}

#[tokio::test]
async fn a_head_without_checks_has_no_rollup_and_empty_lists() {
    let (github, client, ids) = world(1).await;
    let node = asked(&client, &ids).await;
    assert_eq!(node["statusCheckRollup"], Value::Null);
    assert_eq!(node["mergeStateStatus"], "CLEAN");
    let [runs, status] = listed(&github, &client).await;
    assert_eq!(
        (&runs["total_count"], &runs["check_runs"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(
        (&status["state"], &status["statuses"]),
        (&json!("pending"), &json!([]))
    );
}

#[tokio::test]
async fn a_rollup_counts_what_was_superseded_and_rest_lists_the_latest() {
    let (github, client, ids) = world(1).await;
    let before = asked(&client, &ids).await["updatedAt"].clone();
    let at = |second: i64| jiff::Timestamp::from_second(1_785_000_000 + second).unwrap();
    let build = (Some("CI"), "build");
    github.check_run(WEB, PULL, build, RunState::Ended(at(0), "FAILURE"));
    github.check_run(WEB, PULL, build, RunState::Ended(at(60), "SUCCESS"));
    github.commit_status(WEB, PULL, "ci/old", "SUCCESS");
    let node = asked(&client, &ids).await;
    assert_eq!(
        node["updatedAt"], before,
        "the pull request itself did not change"
    );
    let rollup = &node["statusCheckRollup"];
    assert_eq!(rollup["state"], "FAILURE");
    assert_eq!(rollup["counts"]["totalCount"], 3);
    assert_eq!(
        rollup["counts"]["checkRunCountsByState"],
        json!([{"state": "FAILURE", "count": 1}, {"state": "SUCCESS", "count": 1}])
    );
    assert_eq!(
        rollup["counts"]["statusContextCountsByState"],
        json!([{"state": "SUCCESS", "count": 1}])
    );
    let run = &rollup["contexts"]["nodes"][0];
    assert_eq!(run["checkSuite"]["workflowRun"]["workflow"]["name"], "CI");
    assert_eq!(run["startedAt"], at(0).to_string());
    let [runs, status] = listed(&github, &client).await;
    assert_eq!(runs["total_count"], 1);
    assert_eq!(runs["check_runs"][0]["conclusion"], "success");
    assert_eq!(status["statuses"][0]["context"], "ci/old");
}

#[tokio::test]
async fn a_run_moves_from_queued_to_its_end_and_a_push_leaves_it_behind() {
    let (github, client, ids) = world(1).await;
    let run = github.check_run(WEB, PULL, (None, "build"), RunState::Queued);
    let node = asked(&client, &ids).await;
    let queued = &node["statusCheckRollup"]["contexts"]["nodes"][0];
    assert_eq!(
        (&queued["status"], &queued["startedAt"]),
        (&json!("QUEUED"), &Value::Null)
    );
    assert_eq!(queued["checkSuite"]["workflowRun"], Value::Null);
    assert_eq!(node["statusCheckRollup"]["state"], "PENDING");
    github.end_check_run(WEB, PULL, run, "FAILURE");
    let node = asked(&client, &ids).await;
    assert_eq!(node["statusCheckRollup"]["state"], "FAILURE");
    assert_eq!(node["mergeStateStatus"], "UNSTABLE", "nothing requires it");
    github.repository(WEB).push("b1");
    let node = asked(&client, &ids).await;
    assert_eq!(node["statusCheckRollup"], Value::Null);
}

#[tokio::test]
async fn a_required_check_blocks_until_it_passed_and_is_expected_until_it_reports() {
    for by_ruleset in [true, false] {
        let (github, client, ids) = world(1).await;
        let repository = github.repository(WEB);
        if by_ruleset {
            repository.require_check("build");
        } else {
            repository.protect_with("build");
        }
        let node = asked(&client, &ids).await;
        let rollup = &node["statusCheckRollup"];
        assert_eq!(
            (&rollup["state"], &node["mergeStateStatus"]),
            (&json!("EXPECTED"), &json!("BLOCKED"))
        );
        assert_eq!(rollup["contexts"]["nodes"][0]["state"], "EXPECTED");
        let rule = if by_ruleset {
            Value::Null
        } else {
            json!({"requiredStatusCheckContexts": ["build"]})
        };
        assert_eq!(node["baseRef"]["refUpdateRule"], rule);
        let ended = RunState::Ended(github.now(), "SUCCESS");
        github.check_run(WEB, PULL, (None, "build"), ended);
        let node = asked(&client, &ids).await;
        assert_eq!(node["mergeStateStatus"], "CLEAN");
    }
}

#[tokio::test]
async fn whether_it_can_be_merged_is_not_known_at_first_and_known_once_it_was_asked_for() {
    let (github, client, ids) = world(1).await;
    github.forget_mergeability(WEB, PULL, 1);
    let states = async || {
        let node = asked(&client, &ids).await;
        (node["mergeable"].clone(), node["mergeStateStatus"].clone())
    };
    assert_eq!(states().await, (json!("UNKNOWN"), json!("UNKNOWN")));
    assert_eq!(states().await, (json!("MERGEABLE"), json!("CLEAN")));
    github.forget_mergeability(WEB, PULL, 1);
    github.edit_pull_request(WEB, PULL, |pull| pull.mergeable = Mergeable::Conflicting);
    let over_rest = async || {
        let body = client.get("/repos/acme/web/pulls/1").await.json();
        (body["mergeable"].clone(), body["mergeable_state"].clone())
    };
    assert_eq!(over_rest().await, (Value::Null, json!("unknown")));
    assert_eq!(over_rest().await, (json!(false), json!("dirty")));
    assert_eq!(states().await, (json!("CONFLICTING"), json!("DIRTY")));
}

#[tokio::test]
async fn requests_threads_and_the_queue_are_served() {
    let (github, client, ids) = world(1).await;
    github.request_review(WEB, PULL, "bob");
    github.request_team_review(WEB, PULL, "platform");
    github.review_thread(WEB, PULL, true);
    github.bot_thread(WEB, PULL, false);
    github.edit_pull_request(WEB, PULL, |pull| {
        (pull.in_merge_queue, pull.queue_position) = (true, 2);
        pull.auto_merge = true;
    });
    let node = asked(&client, &ids).await;
    assert_eq!(
        node["reviewRequests"]["nodes"],
        json!([
            {"requestedReviewer": {"login": "bob"}},
            {"requestedReviewer": {"slug": "platform"}},
        ])
    );
    let threads = node["reviewThreads"]["nodes"].as_array().unwrap();
    let resolved: Vec<&Value> = threads.iter().map(|thread| &thread["isResolved"]).collect();
    assert_eq!(resolved, [&json!(true), &json!(false)]);
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on PullRequestReviewThread {
        comments(first: 1) { nodes { author { __typename } } } } } }";
    let ids: Vec<&Value> = threads.iter().map(|thread| &thread["id"]).collect();
    let data = client.query(query, json!({ "ids": ids })).await.data();
    let author = |of: &str| json!({"comments": {"nodes": [{"author": {"__typename": of}}]}});
    assert_eq!(data["nodes"], json!([author("User"), author("Bot")]));
    assert_eq!(node["mergeQueueEntry"], json!({"position": 2}));
    let body = client.get("/repos/acme/web/pulls/1").await.json();
    assert_eq!(body["requested_reviewers"][0]["login"], "bob");
    assert_eq!(body["requested_teams"][0]["slug"], "platform");
    assert_eq!(body["auto_merge"]["merge_method"], "squash");
}

#[tokio::test]
async fn checks_that_are_kept_from_a_token_are_null_with_an_error_and_refused_over_rest() {
    let (github, client, ids) = world(1).await;
    github.check_run(WEB, PULL, (None, "build"), RunState::Queued);
    github.keep_checks_from("ann");
    let reply = client.query(QUERY, json!({ "ids": ids })).await;
    let path = json!(["nodes", 0, "statusCheckRollup"]);
    assert_eq!(reply.errors(), [("FORBIDDEN".to_owned(), path)]);
    for list in ["check-runs", "status"] {
        let reply = client.get(&format!("{}/{list}", head(&github))).await;
        assert_eq!(reply.status, 403, "{list}");
    }
}

#[tokio::test]
async fn checks_come_in_pages() {
    let (github, client, _) = world(1).await;
    for index in 0..5 {
        let name = format!("shard {index}");
        github.check_run(WEB, PULL, (None, &name), RunState::Queued);
    }
    let first = format!("{}/check-runs?per_page=3", head(&github));
    let first = client.get(&first).await;
    assert_eq!(first.json()["check_runs"].as_array().unwrap().len(), 3);
    let rest = client.get(&first.link("next").unwrap()).await.json();
    assert_eq!(
        (
            &rest["total_count"],
            rest["check_runs"].as_array().unwrap().len()
        ),
        (&json!(5), 2)
    );
}
