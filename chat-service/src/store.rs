//! All SQL of this service: one statement, one file under `sql/`, one name. Rows and
//! `tokio_postgres` types stop here.
//!
//! Statements run through one gateway: `Store::read` and `Store::write`, `Connection` for several,
//! and `Tx` for a transaction. It prepares them once per connection, times each by its name,
//! cancels abandoned ones, and classifies failures ([`StoreError`]); columns are read by name
//! (`Columns`).
//!
//! Transactions begin and end within one function. Rows are locked in one order everywhere, so that
//! no two transactions wait for each other: chat, then refs, accounts and budgets, each by id. The
//! row of `git_ref_polls` is the lock of a ref. A budget is locked last, and for one round trip.

mod address;
pub(crate) mod chat;
mod column;
mod connection;
pub(crate) mod credential;
pub mod diff;
mod due;
pub mod error;
pub(crate) mod event;
pub(crate) mod former;
pub(crate) mod git_account;
pub(crate) mod git_ref;
mod guard;
pub mod health;
pub mod measure;
mod metrics;
pub(crate) mod page;
mod polling;
mod pool;
pub(crate) mod predicate;
mod prune;
pub(crate) mod refresh;
pub(crate) mod renewal;
pub(crate) mod row;
mod session;
pub mod shadow;
pub(crate) mod share;
mod sql;
mod statements;
pub(crate) mod sync;
mod transaction;
mod unknown;
pub mod viewed;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use policy::Attribute;
use prometheus_client::registry::Registry;
use service_runtime::tls::Certificates;
use tokio::sync::Mutex;
use tokio_postgres::Row;

use self::{
    connection::Connection,
    metrics::StoreMetrics,
    pool::{Pool, PoolLane},
    session::{Server, Session},
    sql::{Statement, Values},
};
pub use address::{Address, AddressError};
pub use error::StoreError;
pub(crate) use sql::{Sql, sql};

/// Connections that this process opens beside the pool: one listens for notifications, one asks for
/// health.
pub const BESIDE_THE_POOL: usize = 2;

/// How the pool is set up.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Connections at most.
    pub size: usize,
    /// How long a call waits for a connection, and a connection for the server.
    pub wait: Duration,
    /// The server ends a statement that takes longer.
    pub statement_timeout: Duration,
    /// Connections are replaced at about this age: a new one resolves the database's name again,
    /// and the old server process frees its memory.
    pub max_age: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            size: 14,
            wait: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            max_age: Duration::from_secs(30 * 60),
        }
    }
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    lane: PoolLane,
    /// The attributes of a chat, beside its shares, that decide who may read it.
    deciding: Arc<BTreeSet<Attribute>>,
    /// The session of [`Store::ping`], while it answers.
    health: Arc<Mutex<Option<Session>>>,
}

impl Store {
    /// Prepares a pool; connects when first used.
    ///
    /// # Errors
    ///
    /// When the URL is malformed.
    pub fn new(database_url: &str, options: &PoolOptions) -> Result<Self, StoreError> {
        let PoolOptions {
            size,
            wait,
            statement_timeout,
            max_age,
        } = *options;
        let address = address(database_url)?;
        let server = Server::new(&address, wait, statement_timeout, max_age);
        Ok(Self {
            pool: Pool::new(server, size, wait, StoreMetrics::new()),
            lane: PoolLane::Calls,
            deciding: Arc::default(),
            health: Arc::default(),
        })
    }

    /// The same, where `attributes` decide who may read a chat, beside its shares: the event of a
    /// change of one keeps what the chat was, for those who could read it then. None, unless said.
    #[must_use]
    pub fn deciding_by(&self, attributes: BTreeSet<Attribute>) -> Self {
        Self {
            deciding: Arc::new(attributes),
            ..self.clone()
        }
    }

    /// The same, for workers, relay and watchers: connections that calls may not have are kept for
    /// them.
    #[must_use]
    pub fn reserved(&self) -> Self {
        Self {
            lane: PoolLane::Reserved,
            ..self.clone()
        }
    }

    /// The certificates that connections with the database use.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        self.pool.certificates()
    }

    /// Registers the metrics of statements and connections, and of unknown values in rows.
    pub fn register_metrics(&self, registry: &mut Registry) {
        unknown::register(registry);
        self.pool.metrics().register(registry);
    }

    /// A connection for several statements that are no transaction.
    pub(crate) async fn connection(&self) -> Result<Connection, StoreError> {
        Ok(Connection::new(self.pool.get(self.lane).await?))
    }

    /// Runs a statement that changes nothing.
    pub(crate) async fn read(
        &self,
        statement: Statement<'_>,
        values: Values<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        self.connection().await?.read(statement, values).await
    }

    /// Runs a single statement that changes something, in a transaction of its own.
    pub(crate) async fn write(
        &self,
        statement: Statement<'_>,
        values: Values<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        self.connection().await?.write(statement, values).await
    }
}

fn address(database_url: &str) -> Result<Address, StoreError> {
    let parsed = database_url.parse();
    parsed.map_err(|error: AddressError| StoreError::bug("parse the database URL", error))
}

/// How the connection that listens for notifications is opened.
///
/// # Errors
///
/// When the URL is malformed.
pub fn listener(database_url: &str, statement_timeout: Duration) -> Result<Address, StoreError> {
    let limits = session::limits(statement_timeout);
    let address = address(database_url)?;
    Ok(session::direct(&address, "chat-service notifier", &limits))
}

/// Brings the schema of the database at `database_url` up to this binary's version. Any number of
/// processes may do so at once.
///
/// # Errors
///
/// When a migration fails, or the database is away.
pub async fn migrate(database_url: &str) -> anyhow::Result<migrations::AppliedMigrations> {
    // Without limits: it bounds its waits itself, and an index takes as long as it takes.
    let address = session::direct(&address(database_url)?, "chat-service migrate", &[]);
    let (mut client, connection) = address.connect().await.map_err(StoreError::from_read)?;
    tokio::select! {
        applied = migrations::apply(&mut client) => Ok(applied?),
        closed = connection => Err(match closed {
            Ok(()) => StoreError::bug("migrate", "the connection closed"),
            Err(error) => StoreError::from_write(error),
        }
        .into()),
    }
}

#[cfg(test)]
mod tests;
