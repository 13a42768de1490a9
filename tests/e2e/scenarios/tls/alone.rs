//! A worker that proves who it is by its certificate alone.

use e2e::stack::{REPOSITORY, Stack};
use proto::chat::v1::PullRequestState;
use serde_json::Value;
use testkit::{http, tls::Life};

use super::{
    LOCAL,
    files::{Files, borrowed},
};

#[tokio::test]
async fn a_worker_with_a_certificate_and_no_token_does_its_work_if_its_name_is_known() {
    let files = Files::new();
    let mut variables = files.chat_service();
    variables.push(("CHAT_GITSYNC_CERTIFICATES", "gitsync.test".to_owned()));
    Stack::run_with(&borrowed(&variables), async |stack| {
        stack.expect_warnings(&["a call to chat-service failed: chat-service refuses the call (PERMISSION_DENIED): not allowed: SyncService"]);
        stack.speak_tls(&files.authority.pem());
        let mut variables = files.worker();
        variables.extend([
            ("GITSYNC_TOKEN_FILE", String::new()),
            ("GITSYNC_INTERVAL", "1s".to_owned()),
            ("GITSYNC_PLAINTEXT", "ops".to_owned()),
        ]);
        // One that the authority has signed for another name gets nothing, and says so.
        files.certify("worker", &LOCAL, Life::Long);
        let mut stranger = stack.worker_with(&borrowed(&variables)).await;
        let refused = |line: &Value| {
            let error = line["error"].as_str().unwrap_or_default();
            line["level"] == "WARN" && error.contains("refuses the call")
        };
        stranger.process.wait_for_log("is refused", refused).await;
        http::until_contains(&stranger.ops, "/readyz", "503").await;
        stranger.process.stop().await;

        let names = ["gitsync.test", LOCAL[0], LOCAL[1]];
        files.certify("worker", &names, Life::Long);
        let worker = stack.worker_with(&borrowed(&variables)).await;
        let owner = stack.linked_user("ann").await;
        stack.github.pull_request(REPOSITORY).head("feature").open();
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        stack
            .status_when(&owner, &chat, "the pull request is found", |status| {
                status.pull_request_state() == PullRequestState::Open
            })
            .await;
        http::until_contains(&worker.ops, "/readyz", "200 OK").await;
        vec![worker]
    })
    .await;
}
