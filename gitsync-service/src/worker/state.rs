//! The state of a worker: its leases, its rate, its last failures.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::sync::{BudgetKey, Lease};
use tokio::{sync::Notify, time::Instant};

use crate::{budget::Budgets, metrics::Metrics, sync_client::SyncError};

use super::UpstreamHealth;

/// As many as the contract lists.
const LAST_ERRORS: usize = 20;
/// Leases with full batches that a worker holds at most, for each request that it has on the wire.
const LEASES_PER_SLOT: usize = 4;
/// How long a slot is free until the leases in hand count as waiting for time to pass: one that was
/// just taken sends its first request by then.
const IDLE_AFTER: Duration = Duration::from_millis(100);
/// The window of `outcomes_per_second`.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// The state of one worker, shared by its tasks and the listeners that show it.
#[derive(Debug)]
pub(crate) struct WorkerState {
    worker_id: String,
    started: Instant,
    metrics: Arc<Metrics>,
    draining: AtomicBool,
    health: UpstreamHealth,
    /// Notified whenever a lease is further than before.
    progress: Notify,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next_id: u64,
    leases: BTreeMap<u64, LeaseProgress>,
    outcomes_reported: u64,
    /// When how many outcomes were reported within [`RATE_WINDOW`], oldest first.
    reported: VecDeque<(Instant, u64)>,
    errors: VecDeque<NotedError>,
}

/// A lease that is worked on.
#[derive(Clone, Debug)]
pub(crate) struct LeaseProgress {
    pub(crate) budget_key: BudgetKey,
    pub(crate) refs: usize,
    pub(crate) done: usize,
    pub(crate) expires_at: Instant,
}

/// A failure that operators are shown.
#[derive(Clone, Debug)]
pub(crate) struct NotedError {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) at: Instant,
}

/// How much a worker has in hand.
#[derive(Default)]
struct LeaseCounts {
    refs: usize,
    leases: usize,
}

/// A snapshot of [`WorkerState`].
pub(crate) struct WorkerSnapshot {
    pub(crate) worker_id: String,
    pub(crate) uptime: Duration,
    pub(crate) draining: bool,
    pub(crate) leases: Vec<LeaseProgress>,
    pub(crate) outcomes_reported: u64,
    pub(crate) outcomes_per_second: f64,
    pub(crate) last_errors: Vec<NotedError>,
}

impl LeaseCounts {
    /// Whether there is room for another batch: the refs in hand are fewer than one, or the budgets
    /// in hand cannot use all slots.
    ///
    /// A lease counts for at most half a batch: one slow budget with a full batch leaves room for
    /// others, and a full batch of one budget is followed by the next without waiting. Budgets with
    /// full batches would still leave slots idle, since each has one GraphQL request on the wire at
    /// a time.
    fn leaves_room(&self, batch_size: usize, slots: usize, slot_is_free: bool) -> bool {
        self.refs < batch_size || (self.leases < slots && slot_is_free)
    }

    /// Whether there is room beside leases that only wait for time to pass: ten of them must not
    /// keep a worker from all others. They are bounded all the same, since all of them resume some
    /// time.
    fn leaves_room_if_idle(&self, slots: usize, slot_is_free: bool) -> bool {
        self.leases < slots.saturating_mul(LEASES_PER_SLOT) && slot_is_free
    }
}

impl WorkerState {
    pub(super) fn new(worker_id: String, metrics: Arc<Metrics>) -> Self {
        Self {
            worker_id,
            started: Instant::now(),
            metrics,
            draining: AtomicBool::new(false),
            health: UpstreamHealth::default(),
            progress: Notify::new(),
            inner: Mutex::default(),
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn health(&self) -> &UpstreamHealth {
        &self.health
    }

    /// Remembers a failure for operators. `message` must hold nothing secret.
    pub(super) fn note_error(&self, kind: &'static str, message: String) {
        let mut inner = self.lock();
        let at = Instant::now();
        inner.errors.push_front(NotedError { kind, message, at });
        inner.errors.truncate(LAST_ERRORS);
    }

    /// Records a failed call to chat-service under `kind`, for operators. It is logged only if
    /// `is_news`: while chat-service is unavailable, every call fails.
    pub(super) fn note_failed_call(
        &self,
        kind: &'static str,
        call: &'static str,
        error: &SyncError,
        is_news: bool,
    ) {
        if matches!(error, SyncError::LeaseLost) {
            return;
        }
        self.note_error(kind, error.to_string());
        let (detail, request_id) = (error.detail(), error.request_id());
        if is_news {
            tracing::warn!(%error, detail, call, request.id = request_id, "a call to chat-service failed");
        } else {
            tracing::debug!(%error, detail, call, request.id = request_id, "a call to chat-service failed");
        }
    }

    pub(super) fn note_reported(&self, outcomes: u64) {
        let mut inner = self.lock();
        inner.outcomes_reported += outcomes;
        inner.reported.push_back((Instant::now(), outcomes));
        inner.forget();
    }

    /// Lists a lease until the guard is gone.
    pub(super) fn hold(self: &Arc<Self>, lease: &Lease, expires_at: Instant) -> LeaseGuard {
        let mut inner = self.lock();
        self.metrics.leases_held.inc();
        inner.next_id += 1;
        let id = inner.next_id;
        inner.leases.insert(
            id,
            LeaseProgress {
                budget_key: lease.budget_key.clone(),
                refs: lease.ref_count(),
                done: 0,
                expires_at,
            },
        );
        LeaseGuard {
            state: Arc::clone(self),
            id,
        }
    }

    /// Waits until there is room for another batch: see [`LeaseCounts`].
    pub(super) async fn spare_capacity(&self, batch_size: usize, budgets: &Budgets) {
        let slots = budgets.concurrency();
        let mut is_idle = false;
        loop {
            let load = self.load(batch_size.div_ceil(2));
            let is_free = budgets.has_free_slot();
            let if_idle = load.leaves_room_if_idle(slots, is_free);
            if load.leaves_room(batch_size, slots, is_free) || (is_idle && if_idle) {
                return;
            }
            let idle = async {
                if if_idle {
                    tokio::time::sleep(IDLE_AFTER).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            // There is one waiter, and a notification that comes before it waits is kept for it.
            tokio::select! {
                () = self.progress.notified() => is_idle = false,
                () = budgets.slot_released() => is_idle = false,
                () = idle => is_idle = true,
            }
        }
    }

    /// The refs not reported yet; a lease counts for `at_most` refs.
    fn load(&self, at_most: usize) -> LeaseCounts {
        let mut load = LeaseCounts::default();
        for lease in self.lock().leases.values() {
            let open = lease.refs - lease.done.min(lease.refs);
            load.refs += open.min(at_most);
            load.leases += usize::from(open > 0);
        }
        load
    }

    pub(crate) fn snapshot(&self) -> WorkerSnapshot {
        let uptime = self.started.elapsed();
        let mut inner = self.lock();
        inner.forget();
        let recent = inner.reported.iter().map(|(_, outcomes)| outcomes).sum();
        let window = uptime.clamp(Duration::from_secs(1), RATE_WINDOW);
        WorkerSnapshot {
            worker_id: self.worker_id.clone(),
            uptime,
            draining: self.draining.load(Ordering::Relaxed),
            leases: inner.leases.values().cloned().collect(),
            outcomes_reported: inner.outcomes_reported,
            outcomes_per_second: Duration::from_secs(recent).as_secs_f64() / window.as_secs_f64(),
            last_errors: inner.errors.iter().cloned().collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget(&mut self) {
        let is_old = |(at, _): &(Instant, u64)| at.elapsed() >= RATE_WINDOW;
        while self.reported.front().is_some_and(is_old) {
            self.reported.pop_front();
        }
    }
}

/// A lease's entry in the list, for as long as it is worked on.
pub(super) struct LeaseGuard {
    state: Arc<WorkerState>,
    id: u64,
}

impl LeaseGuard {
    pub(super) fn expires_at(&self, expires_at: Instant) {
        if let Some(lease) = self.state.lock().leases.get_mut(&self.id) {
            lease.expires_at = expires_at;
        }
    }

    pub(super) fn done(&self, refs: usize) {
        if let Some(lease) = self.state.lock().leases.get_mut(&self.id) {
            lease.done += refs;
        }
        self.state.progress.notify_one();
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.state.metrics.leases_held.dec();
        self.state.lock().leases.remove(&self.id);
        self.state.progress.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_while_slots_are_idle_and_leases_not_too_many() {
        let load = |leases| LeaseCounts { refs: 100, leases };
        let room = |leases, slot_is_free| load(leases).leaves_room(100, 10, slot_is_free);
        assert!(room(9, true) && !room(9, false) && !room(10, true));
        let if_idle = |leases, slot_is_free| load(leases).leaves_room_if_idle(10, slot_is_free);
        assert!(if_idle(39, true) && !if_idle(39, false) && !if_idle(40, true));
        let few = LeaseCounts {
            refs: 99,
            leases: 99,
        };
        assert!(few.leaves_room(100, 10, false));
    }
}
