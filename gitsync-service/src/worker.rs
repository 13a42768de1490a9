//! The worker: leases refs, has them looked up, and reports what was found.
//!
//! It owns nothing. A lease is a right for a time, counted on the monotonic clock from before the
//! call that renewed it last; when that time is over, or chat-service says so, everything that belongs
//! to the lease is dropped and nothing of it is written.

mod backoff;
mod builder;
mod contact;
mod held;
mod lease_loop;
mod report;
mod state;

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{grpc::SyncClient, refresh::Refresher};

pub use builder::WorkerBuilder;
pub use contact::Contact;
pub(crate) use state::{WorkerSnapshot, WorkerState};

/// How long a call for leases waits for something to become due, and so the longest that a worker
/// is not heard of. chat-service answers at once when a ref becomes due.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// How many refs are leased at once: as many as one question to GitHub can be about.
pub const BATCH_SIZE: usize = 100;
/// How long the refs of a lease may be looked up, apart from [`INTERVAL`] and from reports.
pub const TICK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stop may take; a pod's grace period must be longer.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Leases, looks up and reports until it is told to stop.
pub struct Worker {
    sync: SyncClient,
    refresher: Refresher,
    state: Arc<WorkerState>,
    interval: Duration,
    batch_size: usize,
    tick_timeout: Duration,
    drain_timeout: Duration,
}

impl Worker {
    /// Starts from the defaults.
    pub fn builder() -> WorkerBuilder {
        WorkerBuilder::default()
    }

    /// What this worker is doing, for as long as somebody wants to know.
    pub(crate) fn state(&self) -> &Arc<WorkerState> {
        &self.state
    }

    /// Whether chat-service answers this worker.
    #[must_use]
    pub fn contact(&self) -> Contact {
        self.state.contact().clone()
    }

    /// Works until `stop` is cancelled, then finishes what it has begun within the drain timeout,
    /// reports it, and gives the rest back.
    pub async fn run(self, stop: CancellationToken) {
        lease_loop::run(self, stop).await;
    }
}
