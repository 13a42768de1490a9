//! A host other than the launcher's own stand-in: what the worker finds of each branch is reported
//! before all is ready.

use serde_json::{Value, json};
use testkit::{
    github::GitHub,
    process::{Process, Signal},
};

use crate::launcher::{Launcher, Place, appears, ends_without_a_trace};

/// What the launcher reports of `branches` of a repository at `api`: its lines, and the answers of
/// the ready file.
async fn output_of(api: &str, token: &str, repository: &str, branches: &[&str]) -> (String, Value) {
    let place = Place::new();
    let ready = place.file("ready.json");
    let mut launcher = Launcher::at(&place)
        .with("GITHUB_TOKEN", token)
        .flag("--ready-file", &ready)
        .argument("--github-api-url", api)
        .argument("--repo", repository);
    for branch in branches {
        launcher = launcher.argument("--branch", branch);
    }
    let process: Process = launcher.start();
    appears(&ready).await;
    let said: Value = serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
    let words = process.tail(100);
    assert!(!words.contains(token), "{words}");
    ends_without_a_trace(process, &place, Signal::Terminate).await;
    (words, said["answers"].clone())
}

/// Asserts that the first branch is reported with a problem.
fn assert_problem((words, answers): (String, Value), repository: &str, problem: &str) {
    let line = format!("  {repository}, feature: {problem}");
    assert!(words.lines().any(|found| found == line), "{line}: {words}");
    assert_eq!(answers[0]["problem"], problem);
    assert_eq!(answers[0]["pull_request"], Value::Null);
}

#[tokio::test]
async fn each_branch_has_its_pull_request_or_none() {
    let github = GitHub::start().await;
    let repository = github.repository("acme/web");
    repository.public();
    repository.push("spike");
    let token = github.user("ann").token();
    github
        .pull_request("acme/web")
        .head("feature")
        .title("Add a thing")
        .open();
    let api = github.api_base_url();
    let (words, answers) = output_of(&api, &token, "acme/web", &["feature", "spike"]).await;
    let url = answers[0]["pull_request"]["url"].as_str().unwrap();
    assert!(url.ends_with("/acme/web/pull/1"), "{url}");
    assert_eq!(answers[0]["pull_request"]["state"], json!("open"));
    for line in [
        format!("  acme/web, feature: #1 open, Add a thing, {url}"),
        "  acme/web, spike: no pull request".to_owned(),
    ] {
        assert!(words.lines().any(|found| found == line), "{line}: {words}");
    }
}

#[tokio::test]
async fn a_token_that_the_host_refuses_is_reported() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    let output = output_of(
        &github.api_base_url(),
        "ghp_refused",
        "acme/web",
        &["feature"],
    )
    .await;
    assert_problem(
        output,
        "acme/web",
        "github refused your token; trying again soon",
    );
}

#[tokio::test]
async fn a_repository_that_does_not_exist_is_reported() {
    let github = GitHub::start().await;
    let token = github.user("ann").token();
    let output = output_of(&github.api_base_url(), &token, "acme/nothing", &["feature"]).await;
    let problem = "acme/nothing does not exist or your account has no access to it";
    assert_problem(output, "acme/nothing", problem);
}

#[tokio::test]
async fn a_host_that_is_unreachable_is_reported() {
    let output = output_of("http://127.0.0.1:1", "ghp_any", "acme/web", &["feature"]).await;
    assert_problem(output, "acme/web", "github is not answering");
}
