//! The server and the filled databases on it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use testkit::postgres::{Options, Server};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use url::Url;

/// As a server for a million chats would be set up; nothing is synced, since filling is not
/// measured.
const SETTINGS: [&str; 8] = [
    "shared_buffers=2GB",
    "effective_cache_size=6GB",
    "random_page_cost=1.1",
    "work_mem=16MB",
    "max_wal_size=8GB",
    "synchronous_commit=off",
    // Compiling a plan costs more than a page.
    "jit=off",
    // A vacuum that happens to run would be measured.
    "autovacuum=off",
];

/// Statements of a file run one by one: two of them cannot share a transaction.
const STEPS: [(&str, &str); 9] = [
    ("fill_names", include_str!("../sql/fill_names.sql")),
    ("drop_indexes", include_str!("../sql/drop_indexes.sql")),
    ("fill_chats", include_str!("../sql/fill_chats.sql")),
    ("fill_shares", include_str!("../sql/fill_shares.sql")),
    ("fill_accounts", include_str!("../sql/fill_accounts.sql")),
    ("fill_refs", include_str!("../sql/fill_refs.sql")),
    ("fill_polls", include_str!("../sql/fill_polls.sql")),
    ("fill_primaries", include_str!("../sql/fill_primaries.sql")),
    ("build_indexes", include_str!("../sql/build_indexes.sql")),
];

/// A server, ours or a named one.
pub(super) struct Databases {
    server: Option<Server>,
    admin: Url,
}

/// A database with chats in it.
pub(super) struct Database {
    pub(super) url: String,
    name: String,
}

/// A connection, driven in the background until it is dropped.
pub(super) struct Connection {
    pub(super) client: Client,
    _driver: JoinSet<()>,
}

impl Databases {
    pub(super) async fn start(url: Option<&str>) -> anyhow::Result<Self> {
        let (server, admin) = match url {
            Some(url) => (None, url.to_owned()),
            None => {
                let server = Server::start(Options {
                    settings: SETTINGS.map(str::to_owned).to_vec(),
                    ..Options::default()
                })
                .await?;
                let url = server.url("postgres");
                (Some(server), url)
            }
        };
        Ok(Self {
            server,
            admin: admin.parse().context("--database-url")?,
        })
    }

    /// A database with `chats` chats; an earlier run's if it exists and `keep` is set.
    pub(super) async fn filled(&self, chats: u32, keep: bool) -> anyhow::Result<Database> {
        let name = format!("bench_{chats}");
        let mut url = self.admin.clone();
        url.set_path(&name);
        let database = Database {
            url: url.into(),
            name,
        };
        let admin = connect(self.admin.as_str()).await?;
        let exists = admin
            .client
            .query_opt(
                "SELECT FROM pg_database WHERE datname = $1",
                &[&database.name],
            )
            .await?
            .is_some();
        if exists && keep {
            return Ok(database);
        }
        let drop = format!("DROP DATABASE IF EXISTS {}", database.name);
        admin.client.batch_execute(&drop).await?;
        let create = format!("CREATE DATABASE {} TEMPLATE template0", database.name);
        admin.client.batch_execute(&create).await?;
        chat_service::store::migrate(&database.url).await?;
        fill(&database, chats).await?;
        Ok(database)
    }

    pub(super) async fn drop(&self, database: Database) -> anyhow::Result<()> {
        let admin = connect(self.admin.as_str()).await?;
        let drop = format!("DROP DATABASE {} WITH (FORCE)", database.name);
        Ok(admin.client.batch_execute(&drop).await?)
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        if let Some(server) = self.server {
            server.stop().await?;
        }
        Ok(())
    }
}

async fn fill(database: &Database, chats: u32) -> anyhow::Result<()> {
    let connection = connect(&database.url).await?;
    let client = &connection.client;
    let chats = i32::try_from(chats).context("--chats")?;
    // The same rows in every run.
    client.batch_execute("SELECT setseed(0.5)").await?;
    for (name, text) in STEPS {
        let start = Instant::now();
        let filled = if text.contains("$1") {
            client.execute(text, &[&chats]).await.map(drop)
        } else {
            // Not in one go: VACUUM wants no transaction around it.
            run_all(client, text).await
        };
        filled.with_context(|| name.to_owned())?;
        if start.elapsed() > Duration::from_secs(5) {
            super::say(&format!("  {name}: {:.0} s", start.elapsed().as_secs_f64()))?;
        }
    }
    Ok(())
}

/// Runs the statements of a file, which end in a semicolon at the end of a line; in a block, lines
/// that end so are indented.
async fn run_all(client: &Client, text: &str) -> Result<(), tokio_postgres::Error> {
    let mut statement = String::new();
    for line in text.lines() {
        statement.push_str(line);
        statement.push('\n');
        let in_block = statement.matches("$$").count() % 2 == 1;
        if line.ends_with(';') && !in_block {
            client.batch_execute(&statement).await?;
            statement.clear();
        }
    }
    client.batch_execute(&statement).await
}

/// Connects.
pub(super) async fn connect(url: &str) -> anyhow::Result<Connection> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // A broken connection shows in the client's next call.
        let _ = connection.await;
    });
    Ok(Connection {
        client,
        _driver: driver,
    })
}
