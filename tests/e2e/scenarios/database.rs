//! A database that refuses: the service answers `UNAVAILABLE`, writes little to its log, and goes
//! on when the database takes work again.

use e2e::{stack::Stack, warnings};
use proto::chat::v1::{CreateChatRequest, GetChatsRequest};
use testkit::{
    clients::Caller,
    http,
    postgres::{self, Client, Options, Server},
    wait,
};
use tonic::{Code, Status};

/// Calls that are refused one after the other, within a few seconds: a warning is written once a
/// second.
const CALLS: usize = 50;

/// Runs `body` with everything on a server of its own, and a session of the test on that.
async fn on_a_server(body: impl AsyncFnOnce(&mut Stack, &Client)) {
    let server = Server::start(Options::default()).await.unwrap();
    let database = postgres::database_on(&server).await;
    let client = database.client().await;
    Stack::run_on(database, &[], async |stack| {
        stack.expect_warnings(warnings::DATABASE_AWAY);
        body(stack, &client).await;
        Vec::new()
    })
    .await;
    server.stop().await.unwrap();
}

async fn list(stack: &Stack, caller: &Caller) -> Result<(), Status> {
    let request = GetChatsRequest::default();
    stack.chats(caller).get_chats(request).await.map(|_| ())
}

async fn create(stack: &Stack, caller: &Caller) -> Result<(), Status> {
    let request = CreateChatRequest::default();
    stack.chats(caller).create_chat(request).await.map(|_| ())
}

async fn set_read_only(client: &Client, value: &str) {
    let set = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
    for sql in [set.as_str(), "SELECT pg_reload_conf()"] {
        client.batch_execute(sql).await.unwrap();
    }
}

fn assert_quiet(stack: &Stack) {
    let log = stack.chat_service.log();
    assert!(log.len() > 5, "there is a log to look through");
    let errors = log.iter().filter(|line| line["level"] == "ERROR").count();
    assert_eq!(errors, 0, "{}", stack.chat_service.tail(20));
    let warnings = log.iter().filter(|line| line["message"] == "call failed");
    let warnings = warnings.count();
    assert!(
        (1..CALLS / 2).contains(&warnings),
        "{warnings} of {CALLS} calls have a line"
    );
}

/// As after a failover in place, or when a managed server's disk is full.
#[tokio::test]
async fn a_server_that_became_read_only_is_unavailable_and_makes_the_replica_unready() {
    on_a_server(async |stack, client| {
        let caller = Caller::user();
        create(stack, &caller).await.unwrap();
        set_read_only(client, "on").await;
        http::until_contains(stack.ops_url(), "/readyz", "read-only").await;
        for _ in 0..CALLS {
            let refused = create(stack, &caller).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        }
        set_read_only(client, "off").await;
        wait::until("writes are taken again", || create(stack, &caller)).await;
        assert_quiet(stack);
    })
    .await;
}

/// As while a password is replaced.
#[tokio::test]
async fn refused_logins_are_unavailable_and_fill_no_log() {
    on_a_server(async |stack, client| {
        let caller = Caller::user();
        list(stack, &caller).await.unwrap();
        client
            .batch_execute("ALTER ROLE postgres NOLOGIN")
            .await
            .unwrap();
        let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                   WHERE application_name LIKE 'chat-service%'";
        client.query(end, &[]).await.unwrap();
        for _ in 0..CALLS {
            let refused = list(stack, &caller).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        }
        client
            .batch_execute("ALTER ROLE postgres LOGIN")
            .await
            .unwrap();
        wait::until("calls are answered again", || list(stack, &caller)).await;
        assert_quiet(stack);
    })
    .await;
}
