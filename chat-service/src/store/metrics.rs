//! What the store measures: statements, connections, and what took too long.

use std::{future::Future, time::Instant};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Upper bounds in seconds, as OpenTelemetry's semantic conventions advise for these metrics.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Timeouts {
    /// A statement, by the server's limit.
    Statement,
    /// A statement, by the limit that its caller set.
    Limit,
    /// A lock.
    Lock,
    /// A connection.
    Connection,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: Timeouts,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct StoreMetrics {
    durations: Family<Operation, Histogram>,
    timeouts: Family<Kind, Counter>,
    waits: Histogram,
    waiting: Gauge,
    /// Connections that wait for a call.
    pub(super) idle: Gauge,
    /// Connections that a call has, or that are being opened or brought to rest.
    pub(super) used: Gauge,
}

impl StoreMetrics {
    pub(super) fn new() -> Self {
        Self {
            durations: Family::new_with_constructor(
                (|| Histogram::new(BUCKETS)) as fn() -> Histogram,
            ),
            timeouts: Family::default(),
            waits: Histogram::new(BUCKETS),
            waiting: Gauge::default(),
            idle: Gauge::default(),
            used: Gauge::default(),
        }
    }

    /// Registers all, by OpenTelemetry's names where it has some.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "db_client_operation_duration",
            "Time from sending a statement to its answer, by statement; of several that are sent \
             together, each includes those before it",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register(
            "db_client_timeouts",
            "What took too long, by what: a statement (the server's limit, or its caller's), a lock, \
             a connection",
            self.timeouts.clone(),
        );
        registry.register_with_unit(
            "db_client_connection_wait_time",
            "Time until a call had a connection, or gave up",
            Unit::Seconds,
            self.waits.clone(),
        );
        registry.register(
            "db_client_connection_pending_requests",
            "Calls that wait for a connection",
            self.waiting.clone(),
        );
        registry.register(
            "db_client_connection_idle",
            "Open connections of the pool that no call has",
            self.idle.clone(),
        );
        registry.register(
            "db_client_connection_used",
            "Connections of the pool that calls have",
            self.used.clone(),
        );
    }

    /// Runs `call`, and notes how long that took.
    pub(super) async fn time<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = T>,
    ) -> T {
        let since = Instant::now();
        let result = call.await;
        self.durations
            .get_or_create(&Operation { operation })
            .observe(since.elapsed().as_secs_f64());
        result
    }

    /// Counts what took too long.
    pub(super) fn timed_out(&self, kind: Timeouts) {
        self.timeouts.get_or_create(&Kind { kind }).inc();
    }

    /// Notes that a call waits for a connection, until the result is dropped.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.inc();
        Waiting {
            metrics: self,
            since: Instant::now(),
        }
    }
}

/// A call that waits for a connection.
pub(super) struct Waiting<'a> {
    metrics: &'a StoreMetrics,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.metrics.waiting.dec();
        self.metrics
            .waits
            .observe(self.since.elapsed().as_secs_f64());
    }
}
