//! Metrics of the store: statements, connections and timeouts, by OpenTelemetry's names for
//! databases where they exist. One of them is not used: `promtool` refuses a gauge in `_count`,
//! which its number of connections would be.

use std::{borrow::Cow, future::Future, time::Instant};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio_postgres::Error as PgError;

/// Upper bounds in seconds, as OpenTelemetry's semantic conventions advise for these metrics.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// The type of an error without a code of the server.
const NO_ANSWER: &str = "_OTHER";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    db_system_name: &'static str,
    db_query_summary: &'static str,
    error_type: Cow<'static, str>,
}

/// Timeouts by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timeouts {
    /// A statement, by the server's limit.
    Statement,
    /// A statement, after which the server was still silent.
    Silence,
    /// A lock.
    Lock,
    /// A connection.
    Connection,
}

impl Timeouts {
    const ALL: [Self; 4] = [Self::Statement, Self::Silence, Self::Lock, Self::Connection];

    fn label(self) -> [(&'static str, &'static str); 1] {
        let kind = match self {
            Self::Statement => "statement",
            Self::Silence => "silence",
            Self::Lock => "lock",
            Self::Connection => "connection",
        };
        [("kind", kind)]
    }
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct StoreMetrics {
    durations: Family<Operation, Histogram>,
    timeouts: Family<[(&'static str, &'static str); 1], Counter>,
    failed_connects: Family<[(&'static str, Cow<'static, str>); 1], Counter>,
    waits: Histogram,
    waiting: Gauge,
    /// Statements that a session had to prepare.
    pub(super) prepared: Counter,
    connections: Family<[(&'static str, &'static str); 1], Gauge>,
    /// Connections that wait for a call.
    pub(super) idle: Gauge,
    /// Connections that a call has, or that are being opened or brought to rest.
    pub(super) used: Gauge,
    /// Connections at most.
    pub(super) most: Gauge,
}

impl StoreMetrics {
    pub(super) fn new() -> Self {
        let connections = Family::<[(&str, &str); 1], Gauge>::default();
        let state =
            |state| connections.get_or_create_owned(&[("db_client_connection_state", state)]);
        let (idle, used) = (state("idle"), state("used"));
        let timeouts = Family::<[(&str, &str); 1], Counter>::default();
        // Counted from 0 on: what begins with 1 has no increase.
        for kind in Timeouts::ALL {
            timeouts.get_or_create_owned(&kind.label());
        }
        let failed_connects = Family::<[(&str, Cow<'static, str>); 1], Counter>::default();
        failed_connects.get_or_create_owned(&[("error_type", Cow::Borrowed(NO_ANSWER))]);
        Self {
            durations: Family::new_with_constructor(
                (|| Histogram::new(BUCKETS)) as fn() -> Histogram,
            ),
            timeouts,
            failed_connects,
            waits: Histogram::new(BUCKETS),
            waiting: Gauge::default(),
            prepared: Counter::default(),
            connections,
            idle,
            used,
            most: Gauge::default(),
        }
    }

    /// Registers all.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "db_client_operation_duration",
            "Time from sending a statement to its answer, by statement, and by SQLSTATE if it \
             failed; of several that are sent together, each includes those before it",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register_with_unit(
            "db_client_connection_wait_time",
            "Time until a call had a connection or its wait timed out",
            Unit::Seconds,
            self.waits.clone(),
        );
        registry.register(
            "db_client_connection_pending_requests",
            "Calls that wait for a connection",
            self.waiting.clone(),
        );
        registry.register(
            "db_client_connections",
            "Connections of the pool: idle, or used by a call",
            self.connections.clone(),
        );
        registry.register(
            "db_client_connection_max",
            "Connections that the pool may have",
            self.most.clone(),
        );
        registry.register(
            "chat_database_timeouts",
            "Timeouts, by kind: a statement (by the server's limit, or of a silent \
             server), a lock, a connection of the pool",
            self.timeouts.clone(),
        );
        registry.register(
            "chat_database_connect_failures",
            "Connections to the database that could not be opened, by SQLSTATE, or _OTHER if it did \
             not answer",
            self.failed_connects.clone(),
        );
        registry.register(
            "chat_prepared_statements",
            "Statements that were not in the cache of their connection and had to be prepared",
            self.prepared.clone(),
        );
    }

    /// Runs `call`, and notes how long that took.
    pub(super) async fn time<T>(
        &self,
        statement: &'static str,
        call: impl Future<Output = Result<T, PgError>>,
    ) -> Result<T, PgError> {
        let since = Instant::now();
        let result = call.await;
        let operation = Operation {
            db_system_name: "postgresql",
            db_query_summary: statement,
            error_type: result.as_ref().err().map_or(Cow::Borrowed(""), error_type),
        };
        self.durations
            .get_or_create(&operation)
            .observe(since.elapsed().as_secs_f64());
        result
    }

    /// Counts what took too long.
    pub(super) fn timed_out(&self, kind: Timeouts) {
        self.timeouts.get_or_create(&kind.label()).inc();
    }

    /// Counts a connection that could not be opened.
    pub(super) fn failed_to_connect(&self, error: &PgError) {
        let label = [("error_type", error_type(error))];
        self.failed_connects.get_or_create(&label).inc();
    }

    /// Notes that a call waits for a connection, until the result is dropped.
    pub(super) fn wait(&self) -> ConnectionWait<'_> {
        self.waiting.inc();
        ConnectionWait {
            metrics: self,
            since: Instant::now(),
        }
    }
}

/// The server's code of an error, or that it did not answer.
fn error_type(error: &PgError) -> Cow<'static, str> {
    error.code().map_or(Cow::Borrowed(NO_ANSWER), |state| {
        Cow::Owned(state.code().to_owned())
    })
}

/// A call that waits for a connection.
pub(super) struct ConnectionWait<'a> {
    metrics: &'a StoreMetrics,
    since: Instant,
}

impl Drop for ConnectionWait<'_> {
    fn drop(&mut self) {
        self.metrics.waiting.dec();
        self.metrics
            .waits
            .observe(self.since.elapsed().as_secs_f64());
    }
}
