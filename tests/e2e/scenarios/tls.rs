//! Everything over TLS: whose certificates are believed, what is refused and in which words, and
//! certificates that are replaced while calls are made.

mod alone;
mod files;
mod refused;
mod rotation;

use std::time::Duration;

use e2e::stack::{REPOSITORY, Stack};
use futures_util::future::join_all;
use proto::chat::v1::{GetChatsRequest, LinkGitAccountRequest, PullRequestState};
use serde_json::Value;
use testkit::{
    clients::Caller,
    github::GitHub,
    http,
    postgres::{self, Options, Server},
    tls::{Life, TlsFront},
    wait,
};
use tokio::net::TcpStream;

use self::files::{Files, LOCAL, borrowed};

/// What a request over HTTPS answers, with the certificates that `files` has.
async fn get(files: &Files, url: &str) -> Result<String, String> {
    let authority = reqwest::Certificate::from_pem(files.authority.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([authority])
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let answer = client
        .get(url)
        .send()
        .await
        .map_err(|error| format!("{error:?}"))?;
    answer.text().await.map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn all_that_processes_say_to_each_other_is_said_over_tls() {
    let files = Files::new();
    let server = Server::start(Options::default()).await.unwrap();
    let certified = files.certify("postgres", &LOCAL, Life::Long);
    // Only with a certificate, and with a password that is bound to this very connection.
    let rule = "hostssl all postgres all scram-sha-256 clientcert=verify-ca";
    server
        .secure(&certified, &files.authority.pem(), &[rule])
        .await
        .unwrap();
    let database = postgres::database_on(&server).await;
    let client = database.client().await;
    let github = GitHub::start().await;
    github.repository(REPOSITORY).public();
    let upstream = github.address().to_string();
    let host = files.certify("host", &["localhost"], Life::Long);
    let front = TlsFront::with(&upstream, &host, &[]).await;
    let secure = format!("https://localhost:{}", front.address().port());
    let plain = format!("http://{upstream}");
    let url = format!(
        "{}?sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}&channel_binding=require",
        database.url(),
        files.path("authority.pem"),
        files.path("postgres.crt"),
        files.path("postgres.key"),
    );
    let mut variables = files.chat_service();
    variables.extend([
        ("CHAT_DATABASE_URL", url),
        (
            "GIT_PROVIDER_0_API_BASE_URL",
            github.api_base_url().replace(&plain, &secure),
        ),
        (
            "GIT_PROVIDER_0_OAUTH_TOKEN_URL",
            github.token_url().replace(&plain, &secure),
        ),
        ("SSL_CERT_FILE", files.path("authority.pem")),
    ]);
    Stack::run_on(database, &borrowed(&variables), async |stack| {
        stack.speak_tls(&files.authority.pem());
        files.certify("worker", &LOCAL, Life::Long);
        let mut variables = files.worker();
        variables.push(("SSL_CERT_FILE", files.path("authority.pem")));
        let worker = stack.worker_with(&borrowed(&variables)).await;

        let owner = Caller::user();
        let link = LinkGitAccountRequest {
            provider_id: "github".to_owned(),
            access_token: github.user("ann").token(),
            ..LinkGitAccountRequest::default()
        };
        stack.accounts(&owner).link_git_account(link).await.unwrap();
        github.pull_request(REPOSITORY).head("feature").open();
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        stack
            .status_when(&owner, &chat, "the pull request is found", |status| {
                status.pull_request_state() == PullRequestState::Open
            })
            .await;

        let sessions = "SELECT application_name, ssl FROM pg_stat_activity
                        JOIN pg_stat_ssl USING (pid) WHERE application_name LIKE 'chat-service%'";
        let rows = client.query(sessions, &[]).await.unwrap();
        let rows: Vec<(String, bool)> = rows
            .iter()
            .map(|row| (row.try_get(0).unwrap(), row.try_get(1).unwrap()))
            .collect();
        assert!(rows.iter().all(|(_, ssl)| *ssl), "{rows:?}");
        assert!(
            rows.iter().any(|(name, _)| name.ends_with("notifier")),
            "{rows:?}"
        );

        // As Kubernetes and Prometheus ask.
        let ops = worker.ops.replace("http://", "https://");
        for (url, role) in [(stack.ops_url(), "server"), (&ops, "worker")] {
            assert_eq!(get(&files, &format!("{url}/livez")).await.unwrap(), "ok\n");
            let metrics = get(&files, &format!("{url}/metrics")).await.unwrap();
            let gauge = format!("_certificate_expiry_timestamp_seconds{{role=\"{role}\"}}");
            assert!(metrics.contains(&gauge), "{metrics}");
        }
        let authority = files.path("authority.pem");
        let listed = stack
            .terminal(&owner, &["list", "--ca-file", &authority])
            .await;
        assert!(listed.contains(&chat.id), "{listed}");
        vec![worker]
    })
    .await;
    server.stop().await.unwrap();
}

/// Each holds a place of the listener until its time is over: more of them than there are places
/// keep others out for that long, and no longer.
#[tokio::test]
async fn connections_that_never_finish_their_handshake_are_closed_in_time() {
    // 10 s, and what a busy machine adds; without the timeout they would live for half an hour.
    const LIMIT: Duration = Duration::from_secs(60);
    let files = Files::new();
    let mut variables = files.chat_service();
    variables.extend([
        ("CHAT_MAX_CONNECTIONS", "500".to_owned()),
        ("CHAT_PLAINTEXT", "ops".to_owned()),
    ]);
    Stack::run_with(&borrowed(&variables), async |stack| {
        stack.expect_warnings(&["too many connections; refusing more"]);
        let ops = stack.ops_url().to_owned();
        stack.speak_tls(&files.authority.pem());
        let address = stack.grpc_url().trim_start_matches("https://").to_owned();
        let begun = tokio::time::Instant::now();
        let silent = join_all((0..1000).map(|_| TcpStream::connect(&address))).await;
        let full = |line: &Value| line["message"] == "too many connections; refusing more";
        stack.chat_service.wait_for_log("is full", full).await;
        wait::until("others are served", || {
            let mut chats = stack.chats(&Caller::user());
            async move { chats.get_chats(GetChatsRequest::default()).await }
        })
        .await;
        assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
        // The system may have kept some back, which were taken later.
        wait::within(2 * LIMIT, "all others are closed", || async {
            let open = "chat_connections_open{listener=\"grpc\"}";
            let open = http::metric::<u32>(&ops, open).await;
            if open.is_some_and(|open| open <= 1) {
                Ok(())
            } else {
                Err(open)
            }
        })
        .await;
        drop(silent);
        Vec::new()
    })
    .await;
}
