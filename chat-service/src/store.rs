//! All SQL of this service: one statement, one file under `sql/`, one name. Rows and `tokio_postgres`
//! types stop here.
//!
//! Statements run through one gateway: `Store::read` and `Store::write`, `Connection` for several,
//! and `Tx` for a transaction. It prepares them once per connection, times each by its name
//! and says what a failure means ([`StoreError`]); columns are read by name (`Columns`).
//!
//! Transactions begin and end within one function. Rows are locked in one order everywhere, so that
//! no two transactions wait for each other: chat, then refs, accounts and budgets, each by id. The row of
//! `git_ref_polls` is the lock of a ref. A budget is locked last, and for one round trip.

pub(crate) mod chat;
mod column;
mod connection;
pub(crate) mod credential;
mod due;
pub mod error;
pub(crate) mod event;
mod former;
pub(crate) mod git_account;
pub(crate) mod git_ref;
mod guard;
pub mod measure;
pub(crate) mod page;
mod polling;
pub(crate) mod predicate;
mod prune;
pub(crate) mod refresh;
pub(crate) mod row;
pub mod shadow;
pub(crate) mod share;
mod sql;
pub(crate) mod sync;
mod transaction;
pub mod viewed;

use std::time::Duration;

use deadpool_postgres::{
    Client, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
};
use prometheus_client::registry::Registry;
use tokio_postgres::{NoTls, Row};

use self::{
    connection::{Connection, Durations},
    sql::{Statement, Values},
};
pub use error::StoreError;
pub(crate) use sql::{Sql, sql};

/// After so long without a sign of life a connection is given up.
const DEAD_PEER: Duration = Duration::from_secs(10);

/// How the pool is set up.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Connections at most.
    pub size: usize,
    /// How long a call waits for a connection, and a connection for the server.
    pub wait: Duration,
    /// The server ends a statement that takes longer.
    pub statement_timeout: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            size: 16,
            wait: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
        }
    }
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    durations: Durations,
}

impl Store {
    /// Prepares a pool; connects when first used.
    ///
    /// # Errors
    ///
    /// When the URL is malformed.
    pub fn new(database_url: &str, options: &PoolOptions) -> Result<Self, StoreError> {
        let mut config = parse_url(database_url)?;
        detect_dead_peers(&mut config);
        config.connect_timeout(options.wait);
        config.application_name("chat-service");
        // Limits of the server, so that they hold for a query whose caller went away, too.
        let milliseconds = options.statement_timeout.as_millis();
        let own = config.get_options().unwrap_or_default();
        // No statement here runs for long enough to make up for being compiled first, which takes half a
        // second; PostgreSQL decides by its estimates, and those of large statements are wide. Each is
        // written for one plan, whatever is bound: to plan it again for each execution, as PostgreSQL
        // likes to, takes several times what most of them run for.
        let session_options = format!(
            "{own} -c jit=off -c plan_cache_mode=force_generic_plan \
             -c statement_timeout={milliseconds} \
             -c idle_in_transaction_session_timeout={milliseconds} -c lock_timeout={milliseconds}"
        );
        config.options(session_options.trim_start());
        let manager = Manager::from_config(
            config,
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(options.size)
            .wait_timeout(Some(options.wait))
            .create_timeout(Some(options.wait))
            .recycle_timeout(Some(options.wait))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::bug("build the pool", error))?;
        Ok(Self {
            pool,
            durations: Durations::new(),
        })
    }

    /// A connection from the pool.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub(crate) async fn client(&self) -> Result<Client, StoreError> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => StoreError::from_read(error),
            PoolError::Timeout(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => StoreError::Unavailable {
                source: Box::new(error),
            },
        })
    }

    /// Whether the schema is new enough.
    ///
    /// # Errors
    ///
    /// When it is older than this binary wants, with both versions, or the database is away.
    pub async fn require_current_schema(&self) -> anyhow::Result<()> {
        let client = self.client().await?;
        migrations::require_current(&client).await?;
        Ok(())
    }

    /// Whether the database answers.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let client = self.client().await?;
        client
            .batch_execute("")
            .await
            .map_err(StoreError::from_read)
    }

    /// Has `registry` show how long statements take.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.durations.register(registry);
    }

    /// A connection for several statements that are no transaction.
    pub(crate) async fn connection(&self) -> Result<Connection, StoreError> {
        Ok(Connection::new(
            self.client().await?,
            self.durations.clone(),
        ))
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

fn parse_url(database_url: &str) -> Result<tokio_postgres::Config, StoreError> {
    database_url
        .parse()
        .map_err(|error| StoreError::bug("parse the database URL", error))
}

/// A server that vanishes without a word is noticed within seconds: without this, a query into the
/// void waits for as long as the kernel repeats its packets, which is a quarter of an hour.
pub(crate) fn detect_dead_peers(config: &mut tokio_postgres::Config) {
    config.tcp_user_timeout(DEAD_PEER);
    config.keepalives_idle(DEAD_PEER);
    config.keepalives_interval(Duration::from_secs(2));
}

/// Brings the schema of the database at `database_url` up to this binary's version. Any number of
/// processes may do so at once.
///
/// # Errors
///
/// When a migration fails, or the database is away.
pub async fn migrate(database_url: &str) -> anyhow::Result<migrations::Applied> {
    let (mut client, connection) = tokio_postgres::connect(database_url, NoTls)
        .await
        .map_err(StoreError::from_read)?;
    tokio::select! {
        applied = migrations::apply(&mut client) => Ok(applied?),
        closed = connection => Err(match closed {
            Ok(()) => StoreError::bug("migrate", "the connection closed"),
            Err(error) => StoreError::from_write(error),
        }
        .into()),
    }
}
