//! The database as its callers meet it: calls that give up, all connections in use, several
//! servers, a pooler, a network that is silent.

mod list_limit;
mod pooler;
mod silence;
mod tls;

use std::{collections::BTreeMap, time::Duration};

use chat_service::{
    config::Settings,
    store::{self, PoolOptions, Store},
};
use futures_util::future::join_all;
use proto::chat::v1::{
    CreateChatRequest, GetChatsRequest, ListGitAccountsRequest, UpdateChatRequest,
};
use testkit::{
    postgres::{Options, Server},
    wait,
};
use tokio::time::timeout;
use tokio_postgres::NoTls;
use tonic::{Code, Request};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt as _;

use self::pooler::{Pooler, Startup};
use crate::{
    lock::{Holder, blocked, until_blocked},
    relay::health,
    stack::{Caller, Stack, facts},
};

/// Long before the server's own limit ends a statement, which is 10 s.
const AT_ONCE: Duration = Duration::from_secs(5);

async fn is_ready(stack: &Stack, wanted: ServingStatus) -> Result<(), ServingStatus> {
    let status = health(stack, "chat.v1.ChatService").await;
    if status == wanted {
        Ok(())
    } else {
        Err(status)
    }
}

/// A search box cancels with each key.
#[tokio::test]
async fn sixty_lists_whose_callers_are_gone_leave_no_statement_and_delay_no_other_call() {
    Stack::run(async |stack| give_up_sixty_lists(stack).await).await;
}

async fn give_up_sixty_lists(stack: &Stack) {
    let caller = Caller::user();
    stack.chat(&caller).await;
    let holder = Holder::of(stack, "LOCK TABLE chats IN ACCESS EXCLUSIVE MODE").await;
    let lists = join_all((0..60).map(|_| async {
        let mut request = Request::new(GetChatsRequest::default());
        request.set_timeout(Duration::from_millis(150));
        stack.chats(&caller).get_chats(request).await
    }));
    for answer in lists.await {
        // The deadline may pass first at the service or at the client.
        let code = answer.unwrap_err().code();
        assert!(
            matches!(code, Code::DeadlineExceeded | Code::Cancelled),
            "{code}"
        );
    }
    let mut accounts = stack.accounts(&caller);
    let next = accounts.list_git_accounts(ListGitAccountsRequest::default());
    timeout(AT_ONCE, next)
        .await
        .expect("an answer at once")
        .unwrap();
    let client = stack.database.client().await;
    wait::within(AT_ONCE, "no statement is left", || async {
        let left = blocked(&client).await;
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    holder.let_go().await;
    assert_eq!(stack.walk(&caller, first_page()).await.len(), 1);
}

fn first_page() -> GetChatsRequest {
    GetChatsRequest {
        page_size: 10,
        ..GetChatsRequest::default()
    }
}

#[tokio::test]
async fn with_all_connections_in_use_calls_are_refused_and_workers_and_health_go_on() {
    let few = |settings: &mut Settings, _: &mut BTreeMap<String, String>| {
        settings.database_connections = 6;
        // Those that wait for the lock do so for longer than a call waits for a connection.
        settings.statement_timeout = Duration::from_secs(30).into();
    };
    Stack::run_with(few, async |stack| {
        // Of one caller, only some calls are at the database at once.
        let mut owned = Vec::new();
        for _ in 0..3 {
            let owner = Caller::user();
            let chat = stack.chat(&owner).await;
            owned.push((owner, chat));
        }
        wait::until("it is ready", || is_ready(stack, ServingStatus::Serving)).await;
        let holder = Holder::of(stack, "SELECT FROM chats FOR UPDATE").await;
        let update = |number: usize| {
            let (owner, chat) = &owned[number];
            let mut client = stack.chats(owner);
            let request = UpdateChatRequest {
                chat_id: chat.id.clone(),
                title: Some("new".to_owned()),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["title".to_owned()],
                }),
                ..UpdateChatRequest::default()
            };
            async move { client.update_chat(request).await }
        };
        let first = join_all([update(0), update(1)]);
        let rest = async {
            until_blocked(stack, 2).await;
            let refused = update(2).await.unwrap_err();
            let (code, reason) = (refused.code(), facts(&refused).1);
            assert_eq!(
                (code, reason.as_str()),
                (Code::ResourceExhausted, "DATABASE_SATURATED")
            );
            let details = refused.get_error_details();
            assert!(details.retry_info().is_some());
            is_ready(stack, ServingStatus::Serving).await.unwrap();
            let mut worker = stack.sync(&Caller::service("gitsync"));
            let renewed = worker.renew_lease(proto::chat::v1::RenewLeaseRequest {
                lease_token: uuid::Uuid::now_v7().to_string(),
            });
            let lost = timeout(AT_ONCE, renewed).await.expect("an answer at once");
            assert_eq!(lost.unwrap_err().code(), Code::FailedPrecondition);
            holder.let_go().await;
        };
        let (first, ()) = tokio::join!(first, rest);
        for answer in first {
            answer.unwrap();
        }
    })
    .await;
}

/// A server with the database and role `app`, whose session of the test may change it.
struct App {
    server: Server,
    admin: tokio_postgres::Client,
}

impl App {
    async fn start() -> Self {
        let server = Server::start(Options::default()).await.unwrap();
        let admin = client(&server.url("postgres")).await;
        let role = "CREATE ROLE app LOGIN SUPERUSER PASSWORD 'app'";
        admin.batch_execute(role).await.unwrap();
        admin.batch_execute("CREATE DATABASE app").await.unwrap();
        store::migrate(&server.url("app")).await.unwrap();
        Self { server, admin }
    }

    /// As a demoted server does, it refuses writes from now on, or takes them.
    async fn set_read_only(&self, read_only: bool) {
        let set = format!("ALTER SYSTEM SET default_transaction_read_only = {read_only}");
        self.admin.batch_execute(&set).await.unwrap();
        self.admin
            .batch_execute("SELECT pg_reload_conf()")
            .await
            .unwrap();
        let wanted = if read_only { "on" } else { "off" };
        wait::until("the server has read its settings", || async {
            let show = "SHOW default_transaction_read_only";
            let row = self.admin.query_one(show, &[]).await.unwrap();
            let is: String = row.try_get(0).unwrap();
            if is == wanted { Ok(()) } else { Err(is) }
        })
        .await;
    }

    async fn chats(&self) -> i64 {
        let client = client(&self.server.url("app")).await;
        let row = client.query_one("SELECT count(*) FROM chats", &[]).await;
        row.unwrap().try_get(0).unwrap()
    }
}

async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    drive(connection);
    client
}

/// Talks with the server for as long as its client lives.
#[expect(
    clippy::disallowed_methods,
    reason = "it ends with the client, and its errors are the client's"
)]
fn drive(connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static) {
    tokio::spawn(connection);
}

#[tokio::test]
async fn of_several_servers_the_one_that_takes_writes_is_used_also_after_a_failover() {
    let (first, second) = tokio::join!(App::start(), App::start());
    first.set_read_only(true).await;
    let (one, other) = (first.server.port(), second.server.port());
    let url = format!("postgres://app:app@127.0.0.1:{one},127.0.0.1:{other}/app");
    let of_both = |settings: &mut Settings, _: &mut BTreeMap<String, String>| {
        settings.database.database_url = Some(url.into());
    };
    Stack::run_with(of_both, async |stack| {
        let caller = Caller::user();
        stack.chat(&caller).await;
        assert_eq!((first.chats().await, second.chats().await), (0, 1));
        second.set_read_only(true).await;
        let mut chats = stack.chats(&caller);
        let refused = chats.create_chat(CreateChatRequest::default());
        let refused = refused.await.unwrap_err();
        assert_eq!(facts(&refused).1, "DEPENDENCY_UNAVAILABLE", "{refused:?}");
        wait::until("it is not ready", || {
            is_ready(stack, ServingStatus::NotServing)
        })
        .await;
        first.set_read_only(false).await;
        wait::until("it is ready", || is_ready(stack, ServingStatus::Serving)).await;
        stack.chat(&caller).await;
        assert_eq!((first.chats().await, second.chats().await), (1, 1));
    })
    .await;
}

/// Startup options of a session do not arrive behind a pooler in transaction mode.
#[tokio::test]
async fn behind_a_pooler_the_settings_of_the_role_and_a_direct_url_are_required_by_name() {
    for startup in [Startup::RefuseOptions, Startup::DropOptions] {
        let database = testkit::postgres::database().await;
        let pooler = Pooler::start(database.address(), startup).await;
        let url = format!("{}?sslmode=disable", database.url_through(pooler.address()));
        let options = PoolOptions::default();
        let refused = || async {
            let store = Store::new(&url, &options).unwrap();
            store.require_fit(false).await.unwrap_err().to_string()
        };
        let differing = refused().await;
        for name in ["statement_timeout is \"0\"", "plan_cache_mode is \"auto\""] {
            assert!(differing.contains(name), "{differing}");
        }
        database.take_documented_settings().await;
        let no_direct_url = refused().await;
        assert!(
            no_direct_url.contains("CHAT_DATABASE_DIRECT_URL is required"),
            "{no_direct_url}"
        );
        let direct = database.url().to_owned();
        let both = |settings: &mut Settings, _: &mut BTreeMap<String, String>| {
            settings.database.database_url = Some(url.clone().into());
            settings.database_direct_url = Some(direct.into());
        };
        Stack::run_on(database, both, async |stack| {
            stack.chat(&Caller::user()).await;
        })
        .await;
    }
}

#[tokio::test]
async fn every_session_of_the_service_has_limits_and_notices_a_host_that_is_gone() {
    Stack::run(async |stack| {
        stack.chat(&Caller::user()).await;
        let store = Store::new(stack.database.url(), &PoolOptions::default()).unwrap();
        store.require_fit(false).await.unwrap();
        let listener = store::listener(stack.database.url(), Duration::from_secs(10)).unwrap();
        let (client, connection) = listener.connect().await.unwrap();
        drive(connection);
        for (name, wanted) in [
            ("statement_timeout", "10s"),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "10s"),
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "10000"),
        ] {
            let row = client
                .query_one(&format!("SHOW {name}"), &[])
                .await
                .unwrap();
            let is: String = row.try_get(0).unwrap();
            assert_eq!(is, wanted, "{name}");
        }
    })
    .await;
}

/// `DATABASE_CONNECTIONS` bounds all connections of a process.
#[tokio::test]
async fn a_process_opens_no_more_connections_than_its_setting_says() {
    let few = |settings: &mut Settings, _: &mut BTreeMap<String, String>| {
        settings.database_connections = 6;
    };
    Stack::run_with(few, async |stack| {
        let caller = Caller::user();
        let client = stack.database.client().await;
        let open = || async {
            let text = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name LIKE 'chat-service%'";
            let open: i64 = client.query_one(text, &[]).await.unwrap().try_get(0).unwrap();
            open
        };
        let mut most = 0;
        for _ in 0..5 {
            let lists = join_all((0..40).map(|_| async {
                stack.chats(&caller).get_chats(first_page()).await.unwrap();
            }));
            let (_, now) = tokio::join!(lists, open());
            most = most.max(now).max(open().await);
        }
        assert!((5..=6).contains(&most), "{most}");
    })
    .await;
}
