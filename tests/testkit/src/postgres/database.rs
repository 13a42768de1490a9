//! Databases of single tests, copied from a template on the process's one server.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use tokio::{sync::OnceCell, task::JoinSet};
use tokio_postgres::NoTls;
use url::Url;
use uuid::Uuid;

use super::{Options, Server};
use crate::secrets;

/// Names an existing server, in place of one that the kit starts.
const URL_VARIABLE: &str = "TEST_DATABASE_URL";

/// Test databases are `t_<UUIDv7>`: the name tells the age.
const PREFIX: &str = "t_";

/// A database of a named server that is older than this was left behind by a run that died.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// What operators are shown to set on the role of chat-service behind a pooler,
const ROLE_SETTINGS: &str = include_str!("../../../../deploy/docs/configuration.md");
/// each in a line that begins so.
const ROLE_SETTING: &str = "ALTER ROLE chat ";

/// The advisory lock under which processes that share a named server make the template: the bytes
/// of "testkit\0".
const TEMPLATE_LOCK: i64 = 0x7465_7374_6b69_7400;

static SHARED: OnceCell<Shared> = OnceCell::const_new();

/// What all tests of the process share.
#[derive(Debug)]
struct Shared {
    /// The server's address, with the database to create others from.
    admin: Url,
    template: String,
    /// Lives as long as the process, and ends with it.
    own: Option<Server>,
}

/// A database of one test. Dropping it drops the database, best effort.
#[derive(Debug)]
pub struct Database {
    url: Url,
    name: String,
    admin: Url,
    wait_for_drop: bool,
}

/// A connection, driven in the background until it is dropped.
#[derive(Debug)]
pub struct Client {
    client: tokio_postgres::Client,
    _connection: JoinSet<()>,
}

impl Deref for Client {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.client
    }
}

impl Client {
    async fn connect(url: &Url) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(url.as_str(), NoTls).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // A broken connection shows in the client's next call.
            let _ = connection.await;
        });
        Ok(Self {
            client,
            _connection: tasks,
        })
    }
}

impl Database {
    /// Its address, as `postgres://user:password@host:port/name`.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Its address through something that listens elsewhere, as a [`crate::proxy::Proxy`] does.
    pub fn url_through(&self, address: std::net::SocketAddr) -> String {
        let mut url = self.url.clone();
        url.set_ip_host(address.ip())
            .expect("a postgres:// URL has a host");
        url.set_port(Some(address.port()))
            .expect("a postgres:// URL has a port");
        url.into()
    }

    /// Host and port of its server, for a proxy to dial.
    pub fn address(&self) -> String {
        let host = self.url.host_str().expect("a postgres:// URL has a host");
        format!("{host}:{}", self.url.port().unwrap_or(5432))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens a new connection.
    pub async fn client(&self) -> Client {
        Client::connect(&self.url)
            .await
            .unwrap_or_else(|error| panic!("cannot connect to {}: {error:?}", self.name))
    }

    /// Has all later sessions of this database begin with the settings that operators are shown to
    /// give to the role of chat-service behind a pooler.
    ///
    /// # Panics
    ///
    /// When the document shows none, or PostgreSQL does not take them.
    pub async fn take_documented_settings(&self) {
        let shown = ROLE_SETTINGS.lines();
        let settings: Vec<_> = shown
            .filter_map(|line| line.strip_prefix(ROLE_SETTING))
            .collect();
        assert!(!settings.is_empty(), "no settings are shown");
        let client = self.client().await;
        for setting in settings {
            execute(&client, &format!("ALTER DATABASE {} {setting}", self.name)).await;
        }
    }

    async fn create(shared: &Shared, template: &str) -> Self {
        let name = format!("{PREFIX}{}", Uuid::now_v7().simple());
        let password = shared.admin.password().unwrap_or_default();
        secrets::note("a database password", password);
        let admin = connect(&shared.admin).await;
        // Both names are made here, of letters and digits.
        execute(
            &admin,
            &format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await;
        Self {
            url: with_database(&shared.admin, &name),
            name,
            admin: shared.admin.clone(),
            wait_for_drop: shared.own.is_none(),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let admin = self.admin.clone();
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A thread of its own: a destructor cannot wait, and the test's runtime may be ending.
        let dropping = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            else {
                return;
            };
            runtime.block_on(async {
                if let Ok(client) = Client::connect(&admin).await {
                    let _ = client.batch_execute(&statement).await;
                }
            });
        });
        // Our own server ends with the process, and takes its databases along; a named one does
        // not.
        if self.wait_for_drop {
            let _ = dropping.join();
        }
    }
}

pub(super) async fn migrated() -> Database {
    let shared = shared().await;
    Database::create(shared, &shared.template).await
}

pub(super) async fn migrated_on(server: &Server) -> Database {
    let shared = Shared {
        admin: Url::parse(&server.url("postgres")).expect("our own URL"),
        template: "template0".to_owned(),
        own: None,
    };
    let mut database = Database::create(&shared, &shared.template).await;
    // It goes with the server, which may be gone by then.
    database.wait_for_drop = false;
    migrations::apply(&mut *database.client().await)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    database
}

pub(super) async fn empty() -> Database {
    Database::create(shared().await, "template0").await
}

async fn shared() -> &'static Shared {
    SHARED
        .get_or_init(|| async {
            let named = std::env::var_os(URL_VARIABLE);
            let (admin, own) = if let Some(url) = named {
                let admin = url
                    .to_str()
                    .and_then(|url| Url::parse(url).ok())
                    .unwrap_or_else(|| panic!("{URL_VARIABLE} is not a postgres:// URL"));
                sweep(&admin).await;
                (admin, None)
            } else {
                let server = Server::start(Options::default())
                    .await
                    .unwrap_or_else(|error| panic!("{error}"));
                let admin = Url::parse(&server.url("postgres")).expect("our own URL");
                (admin, Some(server))
            };
            let template = make_template(&admin).await;
            Shared {
                admin,
                template,
                own,
            }
        })
        .await
}

/// Makes the migrated template, unless another process did.
async fn make_template(admin: &Url) -> String {
    // Another set of migrations is another template.
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for migration in migrations::ALL {
        context.update(migration.name.as_bytes());
        context.update(migration.sql.as_bytes());
    }
    let digest = context.finish();
    let name = digest.as_ref()[..8]
        .iter()
        .fold("testkit_template_".to_owned(), |name, byte| {
            format!("{name}{byte:02x}")
        });

    let client = connect(admin).await;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&TEMPLATE_LOCK])
        .await
        .expect("lock");
    // Only a finished one is marked as a template.
    let finished: Option<bool> = client
        .query_opt(
            "SELECT datistemplate FROM pg_database WHERE datname = $1",
            &[&name],
        )
        .await
        .expect("look for the template")
        .map(|row| row.try_get(0).expect("a boolean"));
    if finished == Some(true) {
        return name;
    }
    execute(
        &client,
        &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
    )
    .await;
    execute(
        &client,
        &format!("CREATE DATABASE {name} TEMPLATE template0"),
    )
    .await;
    let mut template = connect(&with_database(admin, &name)).await;
    migrations::apply(&mut template)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    drop(template);
    // PostgreSQL does not copy a database with a connected session, and notices a closed connection
    // only after a moment.
    client
        .execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1",
            &[&name],
        )
        .await
        .expect("end connections to the template");
    execute(
        &client,
        &format!("ALTER DATABASE {name} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false"),
    )
    .await;
    name
}

/// Drops what runs that died left on a named server.
async fn sweep(admin: &Url) {
    let client = connect(admin).await;
    let rows = client
        .query(
            "SELECT datname, extract(epoch FROM now())::bigint FROM pg_database \
             WHERE datname LIKE 't\\_%'",
            &[],
        )
        .await
        .expect("list databases");
    for row in rows {
        let name: String = row.try_get(0).expect("a name");
        let now: i64 = row.try_get(1).expect("a time");
        if is_leftover(&name, now) {
            // Another process may be sweeping too.
            let _ = client
                .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                .await;
        }
    }
}

fn is_leftover(name: &str, now: i64) -> bool {
    let created = name
        .strip_prefix(PREFIX)
        .and_then(|id| Uuid::try_parse(id).ok())
        .and_then(|id| id.get_timestamp())
        .and_then(|time| i64::try_from(time.to_unix().0).ok());
    let age = i64::try_from(LEFTOVER_AGE.as_secs()).unwrap_or(i64::MAX);
    created.is_some_and(|created| now.saturating_sub(created) > age)
}

fn with_database(server: &Url, name: &str) -> Url {
    let mut url = server.clone();
    url.set_path(name);
    url
}

async fn connect(url: &Url) -> Client {
    Client::connect(url)
        .await
        .unwrap_or_else(|error| panic!("cannot connect to PostgreSQL: {error:?}"))
}

async fn execute(client: &Client, statement: &str) {
    client
        .batch_execute(statement)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_old_test_database_is_a_leftover() {
        let id = Uuid::now_v7();
        let created = i64::try_from(id.get_timestamp().unwrap().to_unix().0).unwrap();
        let name = format!("t_{}", id.simple());
        assert!(!is_leftover(&name, created + 60));
        assert!(is_leftover(&name, created + 3601));
        assert!(!is_leftover("t_shirts", created + 3601));
        assert!(!is_leftover("chat", created + 3601));
    }
}
