//! Settings of a [`Worker`].

use std::{sync::Arc, time::Duration};

use crate::{grpc::SyncClient, refresh::Refresher};

use super::{BATCH_SIZE, DRAIN_TIMEOUT, INTERVAL, TICK_TIMEOUT, Worker, WorkerState};

/// Settings of a [`Worker`]; each has a public constant as its default.
#[derive(Clone, Debug)]
#[must_use]
pub struct WorkerBuilder {
    interval: Duration,
    batch_size: usize,
    tick_timeout: Duration,
    drain_timeout: Duration,
}

impl Default for WorkerBuilder {
    fn default() -> Self {
        Self {
            interval: INTERVAL,
            batch_size: BATCH_SIZE,
            tick_timeout: TICK_TIMEOUT,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

impl WorkerBuilder {
    /// How long a call for leases waits. Default [`INTERVAL`].
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How many refs are asked for at once; at least 1. Default [`BATCH_SIZE`].
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size.max(1);
        self
    }

    /// How long the refs of a lease may be looked up. Default [`TICK_TIMEOUT`].
    pub fn tick_timeout(mut self, tick_timeout: Duration) -> Self {
        self.tick_timeout = tick_timeout;
        self
    }

    /// How long a stop may take. Default [`DRAIN_TIMEOUT`].
    pub fn drain_timeout(mut self, drain_timeout: Duration) -> Self {
        self.drain_timeout = drain_timeout;
        self
    }

    /// Builds the worker. It counts where its `refresher` does.
    #[must_use]
    pub fn build(self, sync: SyncClient, refresher: Refresher) -> Worker {
        let Self {
            interval,
            batch_size,
            tick_timeout,
            drain_timeout,
        } = self;
        Worker {
            state: Arc::new(WorkerState::new(
                sync.worker_id().to_owned(),
                Arc::clone(refresher.metrics()),
            )),
            sync,
            refresher,
            interval,
            batch_size,
            tick_timeout,
            drain_timeout,
        }
    }
}
