//! The worker: leases refs, has them looked up, and reports what was found.
//!
//! The worker owns no data. A lease is a right for a time, counted on the monotonic clock from
//! before the call that renewed it last; when that time has passed, or chat-service ends the lease,
//! all work of the lease is dropped and nothing of it is written.

mod active_lease;
mod backoff;
mod diff;
mod lease_loop;
mod refresher;
mod report;
mod state;
mod turn;
mod upstream_health;

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::sync_client::SyncClient;

pub use diff::{DiffFetch, LookupResult};
pub use refresher::{CONCURRENCY, Refresh, Refresher, RefresherSettings};
pub(crate) use state::{WorkerSnapshot, WorkerState};
pub use upstream_health::UpstreamHealth;

/// How long a lease call waits for work, and so the longest silence of an idle worker. The call
/// returns at once when a ref becomes due.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// How many refs are leased at once: as many as two questions to GitHub can be about, so that what
/// changed of them is asked for together.
pub const BATCH_SIZE: usize = 200;
/// How long the refs of a lease may be looked up, apart from [`INTERVAL`] and from reports.
pub const TICK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stop may take; a pod's grace period must be longer.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// How a worker leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// See [`INTERVAL`].
    pub interval: Duration,
    /// See [`BATCH_SIZE`]; at least 1.
    pub batch_size: usize,
    /// See [`TICK_TIMEOUT`].
    pub tick_timeout: Duration,
    /// See [`DRAIN_TIMEOUT`].
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: INTERVAL,
            batch_size: BATCH_SIZE,
            tick_timeout: TICK_TIMEOUT,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

/// Leases, looks up and reports until it is stopped.
pub struct Worker {
    sync: SyncClient,
    refresher: Refresher,
    state: Arc<WorkerState>,
    settings: Settings,
}

impl Worker {
    /// A worker that counts where its `refresher` does.
    #[must_use]
    pub fn new(sync: SyncClient, refresher: Refresher, settings: Settings) -> Self {
        let metrics = Arc::clone(refresher.metrics());
        Self {
            state: Arc::new(WorkerState::new(sync.worker_id().to_owned(), metrics)),
            sync,
            refresher,
            settings,
        }
    }

    /// The state of this worker.
    pub(crate) fn state(&self) -> &Arc<WorkerState> {
        &self.state
    }

    /// Whether chat-service answers this worker.
    #[must_use]
    pub fn upstream_health(&self) -> UpstreamHealth {
        self.state.health().clone()
    }

    /// Works until `stop` is cancelled, then finishes what it has begun within the drain timeout,
    /// reports it, and gives the rest back.
    pub async fn run(self, stop: CancellationToken) {
        lease_loop::run(self, stop).await;
    }
}
