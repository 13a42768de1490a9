//! Limits of connections and statements, and the cancellation of abandoned statements.

use std::time::Duration;

use futures_util::future::join_all;
use prometheus_client::{encoding::text::encode, registry::Registry};
use testkit::{
    postgres::{Client, Database},
    wait,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    PoolOptions, Sql, Store, StoreError,
    column::first,
    connection::{Connection, MAX_PARAMETERS},
    sql::{Statement, sql},
    statements::MAX_COMPOSED,
};
use crate::{
    attention::AttentionKind,
    authz::{Action, Authorizer, Principal},
    chat::ChatStatus,
    chat::View,
    chat_filter::{ChatFilter, ListDetail, PullRequestFilter},
    id::{UserId, WorkspaceId},
};

const READ_RELAY: Sql = sql!("read_relay");
const BACKEND: Sql = fixed("backend", "SELECT pg_backend_pid() AS pid");
const SLEEP: Sql = fixed("sleep", "SELECT pg_sleep(60)");
const NAP: Sql = fixed("nap", "SELECT pg_sleep(0.1)");
const LONG_NAP: Sql = fixed("long_nap", "SELECT pg_sleep(0.6)");
const COUNT_PREPARED: Sql = fixed(
    "count_prepared",
    "SELECT count(*) AS count FROM pg_prepared_statements",
);
/// Waits for the lock of [`holder`].
const WAIT: Sql = fixed("wait", "SELECT pg_advisory_xact_lock(7)");

const LOCK_OTHER: Sql = fixed("lock_other", "SELECT pg_advisory_xact_lock(8)");
const DEMOTE: Sql = fixed(
    "demote",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
);
const CREATE: Sql = fixed("create", "CREATE TABLE made (id integer)");

const fn fixed(name: &'static str, text: &'static str) -> Sql {
    Statement {
        name,
        text,
        composed: false,
    }
}

async fn store(size: usize) -> (Database, Store) {
    store_with(PoolOptions {
        size,
        ..PoolOptions::default()
    })
    .await
}

async fn store_with(options: PoolOptions) -> (Database, Store) {
    let database = testkit::postgres::database().await;
    let store = Store::new(database.url(), &options).unwrap();
    (database, store)
}

async fn pid(store: &Store) -> i32 {
    pid_of(&store.connection().await.unwrap()).await
}

async fn pid_of(connection: &Connection) -> i32 {
    let rows = connection.read(BACKEND, &[]).await.unwrap();
    first(&rows, "pid").unwrap().unwrap()
}

/// The limit that a statement met, and the name of the statement.
fn limit_met(failed: &StoreError) -> Option<(&'static str, &'static str)> {
    if let StoreError::Timeout { statement, .. } = failed {
        Some(("timeout", *statement))
    } else if let StoreError::Locked { statement, .. } = failed {
        Some(("lock", *statement))
    } else {
        None
    }
}

/// A session of the test that holds the lock that [`WAIT`] waits for.
async fn holder(database: &Database) -> Client {
    let client = database.client().await;
    client
        .batch_execute("SELECT pg_advisory_lock(7)")
        .await
        .unwrap();
    client
}

/// Waits until that many statements of the store run.
async fn until_running(database: &Database, wanted: i64) {
    let client = database.client().await;
    wait::until("statements run", || async {
        let text = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND application_name = 'chat-service' AND state <> 'idle'";
        let running: i64 = client
            .query_one(text, &[])
            .await
            .unwrap()
            .try_get(0)
            .unwrap();
        if running == wanted {
            Ok(())
        } else {
            Err(running)
        }
    })
    .await;
}

/// Every combination of the filters.
fn filters() -> impl Iterator<Item = ChatFilter> {
    (0..1024_u32).map(|bits| {
        let has = |bit: u32| bits & (1 << bit) != 0;
        let id = Uuid::now_v7();
        ChatFilter {
            owner: has(0).then_some(UserId(id)),
            workspace: has(1).then_some(WorkspaceId(id)),
            archived: has(2).then_some(false),
            statuses: has(3).then_some(ChatStatus::Running).into_iter().collect(),
            labels: has(4)
                .then(|| ("a".to_owned(), "b".to_owned()))
                .into_iter()
                .collect(),
            pull_requests: has(5)
                .then_some(PullRequestFilter::Open)
                .into_iter()
                .collect(),
            repository: has(6).then(|| "acme/web".to_owned()),
            pull_request_number: has(7).then_some(7),
            title: has(8).then(|| "title".to_owned()),
            attention: has(9)
                .then_some(AttentionKind::Conflicting)
                .into_iter()
                .collect(),
        }
    })
}

async fn list(store: &Store, filter: &ChatFilter) {
    let caller = Principal::Service("internal".to_owned());
    let readable = Authorizer::new().chats(&caller, Action::ReadChat);
    let what = ListDetail::of(View::Basic);
    store
        .list_chats(readable, filter, None, 50, what)
        .await
        .unwrap();
}

#[tokio::test]
async fn each_statement_is_timed_under_its_name_composed_ones_too() {
    let (_database, store) = store_with(PoolOptions::default()).await;
    for _ in 0..2 {
        store.read(READ_RELAY, &[]).await.unwrap();
    }
    list(&store, &ChatFilter::default()).await;
    for line in [
        "db_client_operation_duration_seconds_count{db_system_name=\"postgresql\",db_query_summary=\"read_relay\",error_type=\"\"} 2",
        "db_client_operation_duration_seconds_count{db_system_name=\"postgresql\",db_query_summary=\"list_chats\",error_type=\"\"} 1",
    ] {
        assert_shown(&store, line);
    }
}

#[tokio::test]
async fn a_storm_of_filter_combinations_keeps_a_bounded_number_of_statements_prepared() {
    let (_database, store) = store(1).await;
    for filter in filters() {
        list(&store, &filter).await;
    }
    let rows = store.read(COUNT_PREPARED, &[]).await.unwrap();
    let prepared: i64 = first(&rows, "count").unwrap().unwrap();
    // The composed ones, the end of their transactions, and this one.
    assert_eq!(prepared, i64::try_from(MAX_COMPOSED).unwrap() + 2);
    // What was forgotten is prepared anew.
    list(&store, &filters().next().unwrap()).await;
}

#[tokio::test]
async fn what_a_call_gives_up_is_cancelled_and_the_next_one_has_its_connection_at_once() {
    let (database, store) = store(1).await;
    let before = pid(&store).await;
    tokio::select! {
        slept = store.read(SLEEP, &[]) => panic!("it ended: {slept:?}"),
        () = until_running(&database, 1) => {}
    }
    let after = timeout(Duration::from_secs(2), pid(&store)).await;
    assert_eq!(after.unwrap(), before);
    until_running(&database, 0).await;
}

#[tokio::test]
async fn a_transaction_that_is_given_up_in_a_statement_is_rolled_back_and_its_connection_is_used_again()
 {
    let (database, store) = store(1).await;
    let before = pid(&store).await;
    let holder = holder(&database).await;
    let waiting = store.transaction(async |tx| {
        tx.query(LOCK_OTHER, &[]).await?;
        tx.query(WAIT, &[]).await?;
        tx.commit().await
    });
    tokio::select! {
        waited = waiting => panic!("it ended: {waited:?}"),
        () = until_running(&database, 1) => {}
    }
    let after = timeout(Duration::from_secs(2), pid(&store)).await;
    assert_eq!(after.unwrap(), before);
    let free = "SELECT pg_try_advisory_lock(8)";
    let free: bool = holder
        .query_one(free, &[])
        .await
        .unwrap()
        .try_get(0)
        .unwrap();
    assert!(free, "the transaction holds its lock");
}

/// A cancellation may come when its statement has just ended, or hit the commit after it.
#[tokio::test]
async fn the_cancellation_of_a_call_never_hits_the_next_one() {
    let (_database, store) = store(1).await;
    for microseconds in (0..4_000).step_by(40) {
        let nap = fixed("nap", "SELECT pg_sleep(0.002)");
        let limit = Duration::from_micros(microseconds);
        let _ = timeout(limit, store.read(nap, &[])).await;
        pid(&store).await;
        {
            let connection = store.connection().await.unwrap();
            let within = connection.read_within(Duration::from_secs(1), nap, &[]);
            let _ = timeout(limit, within).await;
        }
        pid(&store).await;
    }
}

#[tokio::test]
async fn a_session_whose_commit_was_cancelled_is_used_again_outside_of_a_transaction() {
    let (_database, store) = store(1).await;
    let session = store.pool.connect().await.unwrap();
    let fail = session.client.batch_execute("BEGIN; SELECT 1 / 0");
    fail.await.unwrap_err();
    // As its connection knows it: all that was sent ended with a commit.
    assert!(session.settle(true, false).await);
    session.client.batch_execute("SELECT").await.unwrap();
}

/// A network that is slow with cancellations alone.
async fn slow_cancellations(upstream: String) -> (String, JoinSet<()>) {
    const CODE: [u8; 4] = 80_877_102_u32.to_be_bytes();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&upstream).await.unwrap();
            connections.spawn(async move {
                let mut head = [0; 8];
                client.read_exact(&mut head).await.unwrap();
                if head[4..] == CODE {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                server.write_all(&head).await.unwrap();
                let _ended = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn a_cancellation_that_comes_late_never_hits_the_next_call() {
    let database = testkit::postgres::database().await;
    let (address, _network) = slow_cancellations(database.address()).await;
    let url = database.url().replace(&database.address(), &address);
    // The cancellation is what a connection begins with.
    let url = format!("{url}?sslmode=disable");
    let options = PoolOptions {
        size: 1,
        ..PoolOptions::default()
    };
    let store = Store::new(&url, &options).unwrap();
    let before = pid(&store).await;
    {
        let connection = store.connection().await.unwrap();
        // Given up while it is under way, and over before the cancellation arrives.
        let given_up = connection.read(NAP, &[]);
        assert!(timeout(Duration::from_millis(10), given_up).await.is_err());
    }
    let connection = store.connection().await.unwrap();
    connection.read(LONG_NAP, &[]).await.unwrap();
    assert_eq!(
        pid_of(&connection).await,
        before,
        "it is another connection"
    );
}

#[tokio::test]
async fn a_limit_of_a_caller_is_the_servers_for_one_statement_and_names_it() {
    let (database, store) = store(1).await;
    let connection = store.connection().await.unwrap();
    let before = pid_of(&connection).await;
    let limit = Duration::from_millis(400);
    let failed = connection.read_within(limit, SLEEP, &[]).await.unwrap_err();
    assert_eq!(limit_met(&failed), Some(("timeout", "sleep")), "{failed:?}");
    let _holder = holder(&database).await;
    let failed = connection.read_within(limit, WAIT, &[]).await.unwrap_err();
    assert_eq!(limit_met(&failed), Some(("lock", "wait")), "{failed:?}");
    connection.read(LONG_NAP, &[]).await.unwrap();
    drop(connection);
    assert_eq!(pid(&store).await, before, "it is another connection");
}

#[tokio::test]
async fn the_limits_of_the_server_name_the_statement_that_met_them() {
    let (database, store) = store_with(PoolOptions {
        size: 1,
        statement_timeout: Duration::from_millis(200),
        ..PoolOptions::default()
    })
    .await;
    let failed = store.read(SLEEP, &[]).await.unwrap_err();
    assert_eq!(limit_met(&failed), Some(("timeout", "sleep")), "{failed:?}");
    assert_shown(&store, "chat_database_timeouts_total{kind=\"statement\"} 1");
    {
        let connection = store.connection().await.unwrap();
        let longer = connection.read_within(Duration::from_secs(60), SLEEP, &[]);
        assert_eq!(limit_met(&longer.await.unwrap_err()), limit_met(&failed));
    }
    let _holder = holder(&database).await;
    // A lock is not waited for until the statement's time is over: the cause would be lost.
    let failed = store.read(WAIT, &[]).await.unwrap_err();
    assert_eq!(limit_met(&failed), Some(("lock", "wait")), "{failed:?}");
    assert_shown(&store, "chat_database_timeouts_total{kind=\"lock\"} 1");
}

#[tokio::test]
async fn a_call_hears_whether_all_connections_are_in_use_or_the_database_is_away() {
    let (_database, store) = store_with(PoolOptions {
        size: 1,
        // Connecting takes less on a busy machine, too.
        wait: Duration::from_secs(2),
        ..PoolOptions::default()
    })
    .await;
    let _held = store.connection().await.unwrap();
    let failed = store.read(BACKEND, &[]).await.unwrap_err();
    assert!(matches!(failed, StoreError::Saturated), "{failed:?}");
    store.ping().await.unwrap();
    store.pool.set_answers(false);
    let failed = store.read(BACKEND, &[]).await.unwrap_err();
    assert!(
        matches!(failed, StoreError::Unavailable { .. }),
        "{failed:?}"
    );
    assert_shown(
        &store,
        "chat_database_timeouts_total{kind=\"connection\"} 2",
    );
    assert_shown(
        &store,
        "db_client_connections{db_client_connection_state=\"used\"} 1",
    );
}

#[tokio::test]
async fn workers_find_a_connection_when_calls_have_all_of_theirs() {
    let (_database, store) = store_with(PoolOptions {
        size: 5,
        // Connecting takes this long on no machine, so that only what waits for a place is refused.
        wait: Duration::from_secs(3),
        ..PoolOptions::default()
    })
    .await;
    let taken = join_all((0..5).map(|_| store.connection())).await;
    let calls = taken.iter().filter(|taken| taken.is_ok()).count();
    assert_eq!(calls, 3);
    store.reserved().read(BACKEND, &[]).await.unwrap();
}

#[tokio::test]
async fn a_pool_that_may_not_grow_waits_for_a_connection_of_its_own() {
    let database = testkit::postgres::database().await;
    let role = format!("limited_{}", Uuid::now_v7().simple());
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD 'limited' CONNECTION LIMIT 1");
    let client = database.client().await;
    client.batch_execute(&create).await.unwrap();
    let mut url = url::Url::parse(database.url()).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("limited")).unwrap();
    let store = Store::new(url.as_str(), &PoolOptions::default()).unwrap();
    let first = store.connection().await.unwrap();
    let second = store.read(BACKEND, &[]);
    let give_back = async {
        // The second call has been refused a connection of its own by then.
        wait::until("it was refused", || async {
            let used = shown(&store)
                .contains("db_client_connections{db_client_connection_state=\"used\"} 2");
            if used { Ok(()) } else { Err(()) }
        })
        .await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(first);
    };
    let (second, ()) = tokio::join!(second, give_back);
    second.unwrap();
}

#[tokio::test]
async fn a_connection_is_replaced_at_its_age() {
    let (_database, store) = store_with(PoolOptions {
        max_age: Duration::from_millis(200),
        ..PoolOptions::default()
    })
    .await;
    let before = pid(&store).await;
    wait::until("another connection is used", || async {
        let now = pid(&store).await;
        if now == before { Err(now) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn a_write_on_a_server_that_was_demoted_is_unavailable_and_all_its_connections_are_closed() {
    let (_database, store) = store(2).await;
    let store = store.reserved();
    let other = store.connection().await.unwrap();
    let other_pid = pid_of(&other).await;
    let before = pid(&store).await;
    store.read(DEMOTE, &[]).await.unwrap();
    let failed = store.write(CREATE, &[]).await.unwrap_err();
    assert!(
        matches!(failed, StoreError::Unavailable { .. }),
        "{failed:?}"
    );
    drop(other);
    let after = pid(&store).await;
    assert!(after != before && after != other_pid);
    store.write(CREATE, &[]).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_closed_before_a_statement_is_sent_is_unavailable_and_no_bug() {
    let (database, store) = store(1).await;
    let connection = store.connection().await.unwrap();
    let pid = pid_of(&connection).await;
    let end = "SELECT pg_terminate_backend($1, 10000)";
    database.client().await.query(end, &[&pid]).await.unwrap();
    // The first one may still be sent; that the connection is closed is known by its answer.
    for _ in 0..2 {
        let failed = connection.read(BACKEND, &[]).await.unwrap_err();
        assert!(
            matches!(failed, StoreError::Unavailable { .. }),
            "{failed:?}"
        );
    }
}

#[tokio::test]
async fn more_parameters_than_the_protocol_counts_are_a_bug() {
    let (_database, store) = store(1).await;
    let values = vec![&1_i32 as &(dyn ToSql + Sync); MAX_PARAMETERS + 1];
    let failed = store.read(BACKEND, &values).await.unwrap_err();
    assert!(matches!(failed, StoreError::Bug { .. }), "{failed:?}");
}

fn shown(store: &Store) -> String {
    let mut registry = Registry::default();
    store.register_metrics(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

fn assert_shown(store: &Store, line: &str) {
    let text = shown(store);
    assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
}
