//! Certificates that are replaced while calls are made.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use e2e::stack::{REPOSITORY, Stack};
use futures_util::future::join_all;
use proto::chat::v1::{GetChatsRequest, PullRequestState};
use testkit::{
    clients::{Caller, bearer, chats, secure_channel},
    http,
    postgres::{self, Options, Server},
    process::Process,
    tls::{Authority, Life},
    wait,
};

use super::files::{Files, LOCAL, borrowed};

/// Ends of the certificates, as years and as metrics have them.
const ENDS: [(i32, i64); 2] = [(2040, 2_208_988_800), (2041, 2_240_611_200)];

/// Waits until `process` has logged `times` times that it has read the certificates of a role.
async fn read_again(process: &Process, role: &str, times: usize) {
    wait::until("certificates are read again", || {
        let log = process.log();
        let said = log.iter().filter(|line| {
            line["message"] == "certificates were read again" && line["role"] == *role
        });
        let said = said.count();
        async move {
            if said >= times {
                Ok(())
            } else {
                Err((role, said))
            }
        }
    })
    .await;
}

/// Waits until the operations endpoint at `url` says that the second certificate is in use.
async fn second_in_use(url: &str, metric: &str) {
    wait::until("the second certificate is in use", || async {
        let end = http::metric::<i64>(url, metric).await;
        if end == Some(ENDS[1].1) {
            Ok(())
        } else {
            Err(end)
        }
    })
    .await;
}

#[tokio::test]
async fn certificates_and_authorities_are_replaced_and_no_call_fails() {
    let files = Files::new();
    let server = Server::start(Options::default()).await.unwrap();
    let old = files.authority.pem();
    let certified = files.certify("postgres", &LOCAL, Life::Long);
    server.secure(&certified, &old, &[]).await.unwrap();
    let database = postgres::database_on(&server).await;
    let client = database.client().await;
    let url = format!(
        "{}?sslmode=verify-full&sslrootcert={}",
        database.url(),
        files.path("authority.pem")
    );
    for name in ["server", "worker"] {
        files.certify(name, &LOCAL, Life::Until(ENDS[0].0));
    }
    let mut variables = files.chat_service();
    variables.extend([
        ("CHAT_DATABASE_URL", url),
        ("CHAT_PLAINTEXT", "ops".to_owned()),
        // The worker connects again now and then.
        ("CHAT_MAX_CONNECTION_AGE", "10s".to_owned()),
    ]);
    Stack::run_on(database, &borrowed(&variables), async |stack| {
        stack.expect_warnings(&[
            "the notification connection broke; connecting anew: db error: FATAL: terminating connection",
            // A call that meets the end of its connection at its age, and is repeated.
            "a call to chat-service failed: chat-service did not answer (CANCELLED): operation was canceled",
        ]);
        let (ops, new) = (stack.ops_url().to_owned(), Authority::new());
        let both = format!("{old}{}", new.pem());
        stack.speak_tls(&both);
        let mut variables = files.worker();
        variables.push(("GITSYNC_PLAINTEXT", "ops".to_owned()));
        let worker = stack.worker_with(&borrowed(&variables)).await;
        let owner = stack.linked_user("ann").await;

        let (stop, calls) = (AtomicBool::new(false), AtomicU64::new(0));
        let url = stack.grpc_url();
        let bearer = bearer(&stack.token(&owner));
        let load = join_all((0..4).map(|_| async {
            while !stop.load(Ordering::Relaxed) {
                // Each over a connection of its own.
                let mut chats = chats(secure_channel(url, &both, None), bearer.clone());
                chats.get_chats(GetChatsRequest::default()).await.unwrap();
                calls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }));
        let rotation = async {
            let (chat_service, gitsync) = (&stack.chat_service, &worker.process);
            let believed = async |times| {
                read_again(chat_service, "clients", times).await;
                read_again(chat_service, "database", times).await;
                read_again(gitsync, "chat-service", times).await;
            };
            // All believe both authorities before any shows a certificate of the second.
            files.write("authority.pem", &both);
            believed(1).await;
            for name in ["server", "worker"] {
                files.certify_by(&new, name, &LOCAL, Life::Until(ENDS[1].0));
            }
            let certified = new.certify(&LOCAL, Life::Long);
            server.secure(&certified, &new.pem(), &[]).await.unwrap();
            let gauge = "chat_certificate_expiry_timestamp_seconds{role=\"server\"}";
            second_in_use(&ops, gauge).await;
            let gauge = "gitsync_certificate_expiry_timestamp_seconds{role=\"worker\"}";
            second_in_use(&worker.ops, gauge).await;
            files.write("authority.pem", &new.pem());
            believed(2).await;

            // What is connected from here on shows and believes only the second.
            let (connected, called) = (worker.proxy.accepted(), calls.load(Ordering::Relaxed));
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE application_name = 'chat-service notifier'";
            assert_eq!(client.query(end, &[]).await.unwrap().len(), 1);
            wait::until("all are connected again", || async {
                let notifier = "SELECT FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
                                WHERE ssl AND application_name = 'chat-service notifier'";
                let seen = (
                    client.query(notifier, &[]).await.unwrap().len(),
                    worker.proxy.accepted(),
                    calls.load(Ordering::Relaxed),
                );
                let all = seen.0 == 1 && seen.1 > connected && seen.2 > called + 100;
                if all { Ok(()) } else { Err(seen) }
            })
            .await;
            stop.store(true, Ordering::Relaxed);
        };
        tokio::join!(load, rotation);
        stack.github.pull_request(REPOSITORY).head("feature").open();
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        stack
            .status_when(&owner, &chat, "the pull request is found", |status| {
                status.pull_request_state() == PullRequestState::Open
            })
            .await;
        // A lease call may meet the end of its connection at its age, and is repeated; none meets a
        // certificate that is not believed, and no report fails.
        let log = worker.process.log();
        let failed = log.iter().filter(|line| {
            let detail = line["detail"].as_str().unwrap_or_default();
            line["message"] == "a call to chat-service failed"
                && (detail.contains("TLS") || line["call"] != "lease")
        });
        let failed: Vec<_> = failed.collect();
        assert!(failed.is_empty(), "{failed:#?}");
        vec![worker]
    })
    .await;
    server.stop().await.unwrap();
}

/// Half of a pair, or garbage, is what a look may find while files are replaced.
#[tokio::test]
async fn a_file_that_cannot_be_used_keeps_the_last_certificate_and_is_reported_once() {
    let files = Files::new();
    let mut variables = files.chat_service();
    variables.push(("CHAT_PLAINTEXT", "ops".to_owned()));
    Stack::run_with(&borrowed(&variables), async |stack| {
        stack.expect_warnings(&["certificates cannot be read again; keeping those in use"]);
        stack.speak_tls(&files.authority.pem());
        let key = std::fs::read_to_string(files.path("server.key")).unwrap();
        files.write(
            "server.key",
            &files.authority.certify(&LOCAL, Life::Long).key,
        );
        let says = |text: &'static str| {
            move |line: &serde_json::Value| line["message"].as_str().unwrap_or("").contains(text)
        };
        let kept = "cannot be read again; keeping those in use";
        stack.chat_service.wait_for_log("warns", says(kept)).await;
        let list = GetChatsRequest::default();
        let mut chats = stack.chats(&Caller::user());
        chats.get_chats(list).await.unwrap();
        files.write("server.key", &key);
        let again = "certificates can be read again";
        stack
            .chat_service
            .wait_for_log("recovers", says(again))
            .await;
        let warned = stack
            .chat_service
            .log()
            .into_iter()
            .filter(says(kept))
            .count();
        assert_eq!(warned, 1, "{}", stack.chat_service.tail(20));
        Vec::new()
    })
    .await;
}
