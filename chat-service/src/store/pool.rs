//! The connections of this process to its database: a bounded number, a part of which is reserved
//! for workers, relay and watchers.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use service_runtime::tls::Certificates;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{Error as PgError, error::SqlState};

use super::{
    StoreError,
    metrics::{StoreMetrics, Timeouts},
    session::{Server, Session},
};

/// One in this many connections is reserved for workers, relay and watchers: their statements are
/// short, and all callers wait for them.
const RESERVED: usize = 4;
/// The relay keeps one reserved connection for as long as it is the relay: one more is for the
/// others.
const LEAST_RESERVED: usize = 2;
/// Pause before a server that had no connection left is asked again, unless a call gives one back
/// first.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// Grace after a statement's timeout, at which a healthy server ends it: one that has not answered
/// by then hangs, or is not heard.
pub(super) const SILENCE: Duration = Duration::from_secs(2);

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolLane {
    /// Calls of users and services.
    Calls,
    /// Workers, relay and watchers: they may also take reserved connections.
    Reserved,
}

/// A bounded set of connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    server: Server,
    /// The one given back last is at the end and is used next: it has the most statements prepared.
    idle: Mutex<Vec<Arc<Session>>>,
    given_back: Notify,
    /// One permit per connection.
    slots: Arc<Semaphore>,
    /// One permit per connection that calls may take.
    unreserved: Arc<Semaphore>,
    wait: Duration,
    /// Incremented to retire all sessions that are open.
    generation: AtomicUsize,
    /// Whether the database answered the last health check.
    answers: AtomicBool,
    metrics: StoreMetrics,
}

/// The right to have one connection open.
pub(super) struct Slot {
    _unreserved: Option<OwnedSemaphorePermit>,
    _any: OwnedSemaphorePermit,
    /// The pool's, from before its session was opened or taken: an older one is retired.
    generation: usize,
    used: Gauge,
}

/// A session at rest, with the slot and the pool that it goes back to.
pub(super) struct PooledSession {
    pub(super) session: Arc<Session>,
    pub(super) slot: Slot,
    pub(super) pool: Pool,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.used.dec();
    }
}

impl Pool {
    /// Connections are opened when they are wanted, `size` at most. A call waits for one for
    /// `wait`.
    pub(super) fn new(server: Server, size: usize, wait: Duration, metrics: StoreMetrics) -> Self {
        let reserved = size
            .div_ceil(RESERVED)
            .max(LEAST_RESERVED)
            .min(size.saturating_sub(1));
        metrics.most.set(size.try_into().unwrap_or(i64::MAX));
        Self(Arc::new(Inner {
            server,
            idle: Mutex::default(),
            given_back: Notify::new(),
            slots: Arc::new(Semaphore::new(size)),
            unreserved: Arc::new(Semaphore::new(size - reserved)),
            wait,
            generation: AtomicUsize::new(0),
            answers: AtomicBool::new(true),
            metrics,
        }))
    }

    /// A connection at rest.
    ///
    /// # Errors
    ///
    /// [`StoreError::Saturated`] when all are in use for too long, [`StoreError::Unavailable`] when
    /// the database is away.
    pub(super) async fn get(&self, lane: PoolLane) -> Result<PooledSession, StoreError> {
        let waited = self.0.metrics.wait();
        let taken = tokio::time::timeout(self.0.wait, self.take(lane)).await;
        drop(waited);
        taken.unwrap_or_else(|elapsed| {
            self.0.metrics.timed_out(Timeouts::Connection);
            Err(if self.0.answers.load(Ordering::Relaxed) {
                StoreError::Saturated
            } else {
                StoreError::Unavailable {
                    source: Box::new(elapsed),
                }
            })
        })
    }

    async fn take(&self, lane: PoolLane) -> Result<PooledSession, StoreError> {
        let slot = self.slot(lane).await?;
        loop {
            let idle = self.idle().pop();
            if let Some(session) = idle {
                self.0.metrics.idle.dec();
                if session.is_usable() {
                    return Ok(self.lend(session, slot));
                }
                continue;
            }
            match self.connect().await {
                Ok(session) => return Ok(self.lend(Arc::new(session), slot)),
                Err(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => {
                    let given_back = self.0.given_back.notified();
                    let _ = tokio::time::timeout(FULL_PAUSE, given_back).await;
                }
                Err(error) => return Err(StoreError::from_read(error)),
            }
        }
    }

    /// Calls first wait for an unreserved connection, so that they never hold up the other lane.
    async fn slot(&self, lane: PoolLane) -> Result<Slot, StoreError> {
        let closed = |error| StoreError::bug("wait for a connection", error);
        let unreserved = match lane {
            PoolLane::Calls => {
                let permit = self.0.unreserved.clone().acquire_owned();
                Some(permit.await.map_err(closed)?)
            }
            PoolLane::Reserved => None,
        };
        let any = self.0.slots.clone().acquire_owned().await.map_err(closed)?;
        self.0.metrics.used.inc();
        Ok(Slot {
            _unreserved: unreserved,
            _any: any,
            generation: self.0.generation.load(Ordering::Relaxed),
            used: self.0.metrics.used.clone(),
        })
    }

    fn lend(&self, session: Arc<Session>, slot: Slot) -> PooledSession {
        PooledSession {
            session,
            slot,
            pool: self.clone(),
        }
    }

    /// Gives back a connection at rest.
    pub(super) fn put(&self, session: Arc<Session>, slot: Slot) {
        // Compared under the lock, so that no retired session is added after `renew` has emptied
        // the list.
        let mut idle = self.idle();
        let fresh = slot.generation == self.0.generation.load(Ordering::Relaxed);
        if fresh && session.is_usable() {
            idle.push(session);
            self.0.metrics.idle.inc();
            self.0.given_back.notify_one();
        }
        drop(idle);
        // The slot is freed last, so that the next call finds the connection and opens none.
        drop(slot);
    }

    /// Retires all open connections: their server no longer accepts writes.
    pub(super) fn renew(&self) {
        self.0.generation.fetch_add(1, Ordering::Relaxed);
        let stale = std::mem::take(&mut *self.idle());
        self.0
            .metrics
            .idle
            .dec_by(stale.len().try_into().unwrap_or(i64::MAX));
    }

    /// Opens a session, which is not of the pool yet.
    pub(super) async fn connect(&self) -> Result<Session, PgError> {
        let opened = self.0.server.connect().await;
        opened.inspect_err(|error| self.0.metrics.failed_to_connect(error))
    }

    pub(super) fn certificates(&self) -> &Certificates {
        self.0.server.address().certificates()
    }

    /// Notes whether the database answers, which decides the error of calls that wait too long.
    pub(super) fn set_answers(&self, answers: bool) {
        self.0.answers.store(answers, Ordering::Relaxed);
    }

    /// The server ends a statement that takes longer.
    pub(super) fn statement_timeout(&self) -> Duration {
        self.0.server.statement_timeout
    }

    /// After this time without a response the server hangs, and does not enforce its own limit
    /// either.
    pub(super) fn silence(&self) -> Duration {
        self.statement_timeout() + SILENCE
    }

    pub(super) fn metrics(&self) -> &StoreMetrics {
        &self.0.metrics
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
