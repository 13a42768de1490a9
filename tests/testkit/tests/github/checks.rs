//! Checks, mergeability, threads and the merge queue: one model over both interfaces.

use serde_json::{Value, json};
use testkit::github::{GitHub, Mergeable, RunState};

use crate::client::Client;

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
      reviewThreads(first: 100) { nodes { isResolved } }
      reviewRequests(first: 20) { nodes { requestedReviewer { ... on User { login } ... on Team { slug } } } }
      baseRef { refUpdateRule { requiredStatusCheckContexts } }
    }
  }
}";

async fn world() -> (GitHub, Client, u64) {
    let github = GitHub::start().await;
    let ann = github.user("ann");
    github.repository(WEB).grant(&ann);
    let pull = github.pull_request(WEB).head("feature").open();
    let client = Client::with(&github, &ann.token());
    (github, client, pull)
}

async fn asked(github: &GitHub, client: &Client, pull: u64) -> Value {
    let id = github
        .find_pull_request(WEB, pull)
        .expect("it is there")
        .node_id();
    let mut data = client.query(QUERY, json!({"ids": [id]})).await.data();
    data["nodes"][0].take()
}

/// The runs and the statuses of the pull request's head over REST.
async fn listed(github: &GitHub, client: &Client, pull: u64) -> [Value; 2] {
    let sha = github
        .find_pull_request(WEB, pull)
        .expect("it is there")
        .head
        .sha;
    let get = async |list: &str| {
        let reply = client
            .get(&format!("/repos/{WEB}/commits/{sha}/{list}"))
            .await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    };
    [get("check-runs").await, get("status").await]
}

#[tokio::test]
async fn a_head_without_checks_has_no_rollup_and_empty_lists() {
    let (github, client, pull) = world().await;
    let node = asked(&github, &client, pull).await;
    assert_eq!(node["statusCheckRollup"], Value::Null);
    assert_eq!(node["mergeStateStatus"], "CLEAN");
    let [runs, status] = listed(&github, &client, pull).await;
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
    let (github, client, pull) = world().await;
    let before = asked(&github, &client, pull).await["updatedAt"].clone();
    let at = |second: i64| jiff::Timestamp::from_second(1_785_000_000 + second).unwrap();
    let build = (Some("CI"), "build");
    github.check_run(WEB, pull, build, RunState::Ended(at(0), "FAILURE"));
    github.check_run(WEB, pull, build, RunState::Ended(at(60), "SUCCESS"));
    github.commit_status(WEB, pull, "ci/old", "SUCCESS");
    let node = asked(&github, &client, pull).await;
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
    let [runs, status] = listed(&github, &client, pull).await;
    assert_eq!(runs["total_count"], 1);
    assert_eq!(runs["check_runs"][0]["conclusion"], "success");
    assert_eq!(status["statuses"][0]["context"], "ci/old");
}

#[tokio::test]
async fn a_run_moves_from_queued_to_its_end_and_a_push_leaves_it_behind() {
    let (github, client, pull) = world().await;
    let run = github.check_run(WEB, pull, (None, "build"), RunState::Queued);
    let node = asked(&github, &client, pull).await;
    let queued = &node["statusCheckRollup"]["contexts"]["nodes"][0];
    assert_eq!(
        (&queued["status"], &queued["startedAt"]),
        (&json!("QUEUED"), &Value::Null)
    );
    assert_eq!(queued["checkSuite"]["workflowRun"], Value::Null);
    assert_eq!(node["statusCheckRollup"]["state"], "PENDING");
    github.end_check_run(WEB, pull, run, "FAILURE");
    let node = asked(&github, &client, pull).await;
    assert_eq!(node["statusCheckRollup"]["state"], "FAILURE");
    assert_eq!(node["mergeStateStatus"], "UNSTABLE", "nothing requires it");
    github.repository(WEB).push("feature");
    let node = asked(&github, &client, pull).await;
    assert_eq!(node["statusCheckRollup"], Value::Null);
}

#[tokio::test]
async fn a_required_check_blocks_until_it_passed_and_is_expected_until_it_reports() {
    for by_ruleset in [true, false] {
        let (github, client, pull) = world().await;
        let repository = github.repository(WEB);
        if by_ruleset {
            repository.require_check("build");
        } else {
            repository.protect_with("build");
        }
        let node = asked(&github, &client, pull).await;
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
        github.check_run(WEB, pull, (None, "build"), ended);
        let node = asked(&github, &client, pull).await;
        assert_eq!(node["mergeStateStatus"], "CLEAN");
    }
}

#[tokio::test]
async fn whether_it_can_be_merged_is_not_known_at_first_and_known_once_it_was_asked_for() {
    let (github, client, pull) = world().await;
    github.forget_mergeability(WEB, pull, 1);
    let states = async || {
        let node = asked(&github, &client, pull).await;
        (node["mergeable"].clone(), node["mergeStateStatus"].clone())
    };
    assert_eq!(states().await, (json!("UNKNOWN"), json!("UNKNOWN")));
    assert_eq!(states().await, (json!("MERGEABLE"), json!("CLEAN")));
    github.forget_mergeability(WEB, pull, 1);
    github.edit_pull_request(WEB, pull, |pull| pull.mergeable = Mergeable::Conflicting);
    let over_rest = async || {
        let body = client
            .get(&format!("/repos/{WEB}/pulls/{pull}"))
            .await
            .json();
        (body["mergeable"].clone(), body["mergeable_state"].clone())
    };
    assert_eq!(over_rest().await, (Value::Null, json!("unknown")));
    assert_eq!(over_rest().await, (json!(false), json!("dirty")));
    assert_eq!(states().await, (json!("CONFLICTING"), json!("DIRTY")));
}

#[tokio::test]
async fn requests_threads_and_the_queue_are_served() {
    let (github, client, pull) = world().await;
    github.request_review(WEB, pull, "bob");
    github.request_team_review(WEB, pull, "platform");
    github.review_thread(WEB, pull, true);
    github.review_thread(WEB, pull, false);
    github.edit_pull_request(WEB, pull, |pull| {
        (pull.in_merge_queue, pull.queue_position) = (true, 2);
        pull.auto_merge = true;
    });
    let node = asked(&github, &client, pull).await;
    assert_eq!(
        node["reviewRequests"]["nodes"],
        json!([
            {"requestedReviewer": {"login": "bob"}},
            {"requestedReviewer": {"slug": "platform"}},
        ])
    );
    let threads = json!([{"isResolved": true}, {"isResolved": false}]);
    assert_eq!(node["reviewThreads"]["nodes"], threads);
    assert_eq!(node["mergeQueueEntry"], json!({"position": 2}));
    let body = client
        .get(&format!("/repos/{WEB}/pulls/{pull}"))
        .await
        .json();
    assert_eq!(body["requested_reviewers"][0]["login"], "bob");
    assert_eq!(body["requested_teams"][0]["slug"], "platform");
    assert_eq!(body["auto_merge"]["merge_method"], "squash");
}

#[tokio::test]
async fn checks_that_are_kept_from_a_token_are_null_with_an_error_and_refused_over_rest() {
    let (github, client, pull) = world().await;
    github.check_run(WEB, pull, (None, "build"), RunState::Queued);
    github.keep_checks_from("ann");
    let id = github.find_pull_request(WEB, pull).unwrap().node_id();
    let reply = client.query(QUERY, json!({"ids": [id]})).await;
    let path = json!(["nodes", 0, "statusCheckRollup"]);
    assert_eq!(reply.errors(), [("FORBIDDEN".to_owned(), path)]);
    let sha = github.find_pull_request(WEB, pull).unwrap().head.sha;
    for list in ["check-runs", "status"] {
        let reply = client
            .get(&format!("/repos/{WEB}/commits/{sha}/{list}"))
            .await;
        assert_eq!(reply.status, 403, "{list}");
    }
}

#[tokio::test]
async fn checks_come_in_pages() {
    let (github, client, pull) = world().await;
    for index in 0..5 {
        let name = format!("shard {index}");
        github.check_run(WEB, pull, (None, &name), RunState::Queued);
    }
    let sha = github.find_pull_request(WEB, pull).unwrap().head.sha;
    let path = format!("/repos/{WEB}/commits/{sha}/check-runs?per_page=3");
    let first = client.get(&path).await;
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
