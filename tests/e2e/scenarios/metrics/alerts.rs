//! Alerts that real faults fire: a real Prometheus scrapes both processes, and evaluates the rules
//! that are shipped, with times that a test can wait for. `deploy/docs/alerts.md` names the test of
//! each alert.

mod bounds;
mod hosts;
mod oauth;
mod replicas;
mod series;
mod table;

use e2e::{
    stack::{REPOSITORY, Stack, Worker},
    warnings,
};
use futures_util::future::join_all;
use proto::chat::v1::{CreateChatRequest, GetChatsRequest, UpdateChatRequest};
use testkit::{
    clients::Caller,
    github::{Fault, Matching},
    http,
    postgres::{self, Options, Server},
    process::Signal,
    prometheus::{Prometheus, hastened},
};

use super::read;
use crate::relay::relay_first;

/// How far rules look back here: a few scrapes.
const WINDOW: &str = "8s";

/// A Prometheus that scrapes these processes.
async fn prometheus(chat: &[&str], workers: &[&Worker]) -> Prometheus {
    let rules = hastened(&read("prometheus/alerts.yaml"), WINDOW);
    let chat = chat.iter().map(|url| ("chat-service", *url));
    let workers = workers
        .iter()
        .map(|of| ("gitsync-service", of.ops.as_str()));
    let endpoints: Vec<_> = chat.chain(workers).collect();
    Prometheus::start(&rules, &endpoints).await
}

/// Waits until a process says that it is ready, or that it is not.
async fn until_ready(url: &str, ready: bool) {
    let status = if ready {
        "HTTP/1.1 200"
    } else {
        "HTTP/1.1 503"
    };
    http::until_contains(url, "/readyz", status).await;
}

/// Nothing is done while an alert is waited for.
async fn nothing() {}

async fn list(stack: &Stack, caller: &Caller) {
    // Whether it is refused is what the alert is about.
    let _ = stack
        .chats(caller)
        .get_chats(GetChatsRequest::default())
        .await;
}

async fn create(stack: &Stack, caller: &Caller) {
    let _ = stack
        .chats(caller)
        .create_chat(CreateChatRequest::default())
        .await;
}

#[tokio::test]
async fn while_the_database_is_away_operators_hear_of_it_and_of_nothing_once_it_is_back() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::DATABASE_AWAY);
        let worker = stack.worker().await;
        let prometheus = prometheus(&[stack.ops_url()], &[&worker]).await;
        let caller = Caller::user();
        let calling = async || list(stack, &caller).await;
        let all = [
            "DatabaseUnreachable",
            "ChatServiceUnavailable",
            "ProcessNotReady",
            "CallsFail",
        ];
        prometheus.until_quiet(&all, &calling).await;
        stack.database_proxy.cut();
        prometheus.until_firing(&all, &calling).await;
        let workers = ["WorkerCallsFail", "ChangesLate"];
        prometheus.until_firing(&workers, &calling).await;
        stack.database_proxy.restore();
        prometheus.until_quiet(&all, &calling).await;
        prometheus.until_quiet(&workers, &calling).await;
        vec![worker]
    })
    .await;
}

/// A statement that takes longer than it may.
const SLOW: &str = "
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END';
    CREATE TRIGGER slow BEFORE INSERT ON chats FOR EACH ROW EXECUTE FUNCTION slow()";
/// Callers at once, for whom there are two connections.
const CROWD: usize = 30;

#[tokio::test]
async fn of_a_database_that_takes_no_writes_or_logins_or_is_slow_or_locked_operators_hear_the_cause()
 {
    let server = Server::start(Options::default()).await.unwrap();
    let database = postgres::database_on(&server).await;
    let client = database.client().await;
    let set = async |setting: &str| {
        let set = format!("ALTER SYSTEM SET {setting}");
        for sql in [set.as_str(), "SELECT pg_reload_conf()"] {
            client.batch_execute(sql).await.unwrap();
        }
    };
    let limits = [
        ("CHAT_STATEMENT_TIMEOUT", "1s"),
        ("CHAT_DATABASE_CONNECTIONS", "6"),
    ];
    Box::pin(Stack::run_on(database, &limits, async |stack| {
        stack.expect_warnings(warnings::DATABASE_AWAY);
        stack.expect_warnings(&[
            "call failed: another change takes too long",
            "call failed: this takes the database too long",
        ]);
        let prometheus = prometheus(&[stack.ops_url()], &[]).await;
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let creating = async || create(stack, &owner).await;
        let all = [
            "DatabaseRefusesWrites",
            "DatabaseLocked",
            "DatabaseSlow",
            "DatabaseSaturated",
            "DatabaseUnreachable",
        ];
        prometheus.until_quiet(&all, &creating).await;
        set("default_transaction_read_only = on").await;
        prometheus.until_firing(&all[..1], &creating).await;
        until_ready(stack.ops_url(), false).await;
        set("default_transaction_read_only = off").await;
        until_ready(stack.ops_url(), true).await;

        let mut holder = stack.database.client().await;
        let held = holder.transaction().await.unwrap();
        held.batch_execute("SELECT FROM chats FOR UPDATE")
            .await
            .unwrap();
        let archiving = async || {
            let request = UpdateChatRequest {
                chat_id: chat.id.clone(),
                archived: Some(true),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["archived".to_owned()],
                }),
                ..UpdateChatRequest::default()
            };
            let _ = stack.chats(&owner).update_chat(request).await;
        };
        prometheus.until_firing(&all[1..2], &archiving).await;
        // It is of use for all that needs no lock.
        until_ready(stack.ops_url(), true).await;
        held.rollback().await.unwrap();

        client.batch_execute(SLOW).await.unwrap();
        prometheus.until_firing(&all[2..3], &creating).await;
        let crowd: Vec<_> = (0..CROWD).map(|_| Caller::user()).collect();
        let crowded = async || {
            join_all(crowd.iter().map(|caller| create(stack, caller))).await;
        };
        prometheus.until_firing(&all[3..4], crowded).await;
        until_ready(stack.ops_url(), true).await;
        client
            .batch_execute("DROP TRIGGER slow ON chats")
            .await
            .unwrap();

        // As while a password is replaced.
        let end = "ALTER ROLE postgres NOLOGIN;
                   SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name LIKE 'chat-service%'";
        client.batch_execute(end).await.unwrap();
        prometheus.until_firing(&all[4..], &creating).await;
        until_ready(stack.ops_url(), false).await;
        let login = "ALTER ROLE postgres LOGIN";
        client.batch_execute(login).await.unwrap();
        prometheus.until_quiet(&all, &creating).await;
        Vec::new()
    }))
    .await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn of_a_relay_that_stands_still_operators_hear_until_another_one_has_taken_over() {
    Stack::run(async |stack| {
        // The one that has been there from the start would take over: it stands still meanwhile.
        stack.chat_service.signal(Signal::Kill).unwrap();
        stack.chat_service.wait().await;
        let replicas = [stack.replica().await, stack.replica().await];
        let [relay, other] = relay_first(replicas).await;
        let prometheus = prometheus(&[relay.ops_url(), other.ops_url()], &[]).await;
        let all = ["RelayMissing", "ProcessDown"];
        prometheus.until_quiet(&all, nothing).await;
        relay.process.signal(Signal::Stop).unwrap();
        prometheus.until_firing(&all, nothing).await;
        prometheus.until_quiet(&["RelayMissing"], nothing).await;
        relay.process.signal(Signal::Continue).unwrap();
        prometheus.until_quiet(&all, nothing).await;
        for replica in [relay, other] {
            replica.process.stop().await;
        }
        stack.restart_chat_service().await;
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn of_a_host_that_fails_and_of_a_worker_that_dies_with_its_leases_operators_hear() {
    Stack::run_with(&[("CHAT_LEASE_DURATION", "2s")], async |stack| {
        stack.expect_warnings(warnings::HOST_AWAY);
        stack.expect_warnings(warnings::LEASE_LOST);
        let mut worker = stack.worker().await;
        let prometheus = prometheus(&[stack.ops_url()], &[&worker]).await;
        let mut owners = Vec::new();
        for login in ["ann", "bob", "carl"] {
            let owner = stack.linked_user(login).await;
            let chat = stack.chat(&owner).await;
            owners.push((owner, chat));
        }
        let all = [
            "HostDown",
            "LookupsFail",
            "LeasesExpire",
            "GitsyncServiceUnavailable",
        ];
        prometheus.until_quiet(&all, nothing).await;
        let down = stack
            .github
            .fault(Matching::any())
            .respond(Fault::Status(503));
        let report = async |branch: &str| {
            for (owner, chat) in &owners {
                stack.report(owner, chat, REPOSITORY, branch).await;
            }
        };
        report("first").await;
        prometheus.until_firing(&all[..1], nothing).await;
        drop(down);
        stack.github.clear_faults();
        prometheus.until_quiet(&all[..1], nothing).await;

        let hold = stack.github.hold(Matching::graphql());
        report("second").await;
        hold.waiting(1).await;
        worker.process.signal(Signal::Kill).unwrap();
        worker.process.wait().await;
        prometheus.until_firing(&all[3..], nothing).await;
        hold.release();
        let next = stack.worker().await;
        prometheus.until_firing(&all[2..3], nothing).await;
        vec![next]
    })
    .await;
}

#[tokio::test]
async fn of_callers_that_are_beyond_their_limits_or_have_no_token_operators_hear() {
    let limits = [("CHAT_USER_CALLS_PER_SECOND", "1")];
    Stack::run_with(&limits, async |stack| {
        let prometheus = prometheus(&[stack.ops_url()], &[]).await;
        let caller = Caller::user();
        let all = ["CallersLimited", "CallsUnauthenticated"];
        prometheus.until_quiet(&all, nothing).await;
        let hurried = async || {
            for _ in 0..5 {
                list(stack, &caller).await;
            }
        };
        prometheus.until_firing(&all[..1], hurried).await;
        let stranger = async || {
            let request = GetChatsRequest::default();
            let channel = testkit::clients::channel(stack.grpc_url());
            let mut chats = proto::chat::v1::chat_service_client::ChatServiceClient::new(channel);
            let _ = chats.get_chats(request).await;
        };
        prometheus.until_firing(&all[1..], stranger).await;
        until_ready(stack.ops_url(), true).await;
        Vec::new()
    })
    .await;
}

/// Credentials are given up after an hour of refusals, which is here what the database says.
#[tokio::test]
async fn of_credentials_that_a_host_has_given_up_operators_hear() {
    Stack::run(async |stack| {
        let prometheus = prometheus(&[stack.ops_url()], &[]).await;
        for login in ["ann", "bob", "carl", "dora", "emil"] {
            stack.linked_user(login).await;
        }
        let alert = ["CredentialsRejected"];
        prometheus.until_quiet(&alert, nothing).await;
        let client = stack.database.client().await;
        client
            .batch_execute(
                "UPDATE git_accounts SET credential_state = 'rejected', refusals = 4,
                     retry_at = now() + interval '1 day'",
            )
            .await
            .unwrap();
        prometheus.until_firing(&alert, nothing).await;
        Vec::new()
    })
    .await;
}
