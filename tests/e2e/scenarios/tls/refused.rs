//! Who does not get in: each is refused in time, and says why.

use std::process::Stdio;

use e2e::stack::{Stack, Worker};
use serde_json::Value;
use testkit::{
    process::{binaries, command, output},
    tls::{Authority, Life, TlsFront},
};

use super::files::{Files, LOCAL, borrowed};

/// A worker says, in a warning about a call, what stands between it and chat-service.
async fn says(worker: &mut Worker, why: &str) {
    let tells = |line: &Value| {
        let detail = line["detail"].as_str().unwrap_or_default();
        line["level"] == "WARN" && detail.contains(why)
    };
    worker.process.wait_for_log(why, tells).await;
}

/// A worker of `stack` with these variables is refused with these words.
async fn worker_is_refused(stack: &Stack, variables: &[(&'static str, String)], why: &str) {
    let mut worker = stack.worker_with(&borrowed(variables)).await;
    stack.expect_warnings(&[
        "a call to chat-service failed",
        "chat-service does not answer",
    ]);
    says(&mut worker, why).await;
    worker.process.stop().await;
}

/// Variables of a worker with a certificate that calls `url`.
fn calling(files: &Files, url: String) -> Vec<(&'static str, String)> {
    let mut variables = files.worker();
    variables.push(("GITSYNC_CHAT_SERVICE_URL", url));
    variables
}

#[tokio::test]
async fn a_worker_without_a_certificate_that_is_believed_is_refused_and_says_why() {
    let files = Files::new();
    let stranger = Authority::new();
    Stack::run_with(&borrowed(&files.chat_service()), async |stack| {
        stack.speak_tls(&files.authority.pem());
        files.certify_by(&stranger, "worker", &LOCAL, Life::Long);
        let all = files.worker();
        let without = &all[..1];
        worker_is_refused(stack, without, "TLS alert CertificateRequired").await;
        worker_is_refused(stack, &all, "TLS alert UnknownCA").await;
        let failed = |line: &Value| line["message"] == "a TLS handshake failed";
        stack.chat_service.wait_for_log("tells of it", failed).await;

        // One that is over is not even shown.
        files.certify("worker", &LOCAL, Life::Over);
        let mut worker = command(&binaries().gitsync_service);
        worker.envs(borrowed(&all));
        let ended = output(worker, Stdio::piped()).await.unwrap();
        let text = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(64), "{text}");
        assert!(text.contains("worker.crt: expired at Jan  1 "), "{text}");
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn a_chat_service_that_is_not_believed_is_sent_nothing_and_the_worker_says_why() {
    let files = Files::new();
    let stranger = Authority::new();
    Stack::run(async |stack| {
        let upstream = stack.sync_url().trim_start_matches("http://").to_owned();
        files.certify("worker", &LOCAL, Life::Long);
        for (certified, why) in [
            (
                files.certify("x", &LOCAL, Life::Over),
                "certificate expired",
            ),
            (
                files.certify("x", &["db.example"], Life::Long),
                "not valid for name",
            ),
            (stranger.certify(&LOCAL, Life::Long), "UnknownIssuer"),
        ] {
            let front = TlsFront::with(&upstream, &certified, &["h2"]).await;
            let url = format!("https://localhost:{}", front.address().port());
            worker_is_refused(stack, &calling(&files, url), why).await;
        }
        // No TLS is spoken there.
        let plain = calling(&files, format!("https://{upstream}"));
        worker_is_refused(stack, &plain, "the TLS handshake failed: the server").await;
        let worker = stack.worker().await;
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn plain_text_is_refused_where_tls_is_spoken() {
    let files = Files::new();
    Stack::run_with(&borrowed(&files.chat_service()), async |stack| {
        let url = stack.sync_url().to_owned();
        stack.speak_tls(&files.authority.pem());
        worker_is_refused(stack, &[("GITSYNC_CHAT_SERVICE_URL", url)], "").await;
        let failed = |line: &Value| {
            let error = line["error"].as_str().unwrap_or_default();
            line["message"] == "a TLS handshake failed" && error.contains("corrupt message")
        };
        stack.chat_service.wait_for_log("tells of it", failed).await;
        Vec::new()
    })
    .await;
}
