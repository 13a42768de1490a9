//! What shows that changes reach watchers, and what that costs.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// Why a watcher lists again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResyncCause {
    /// Its revision is of other rights or filters, or of a key that is gone.
    Rights,
    /// Its revision is of another generation of positions, or another began.
    Generation,
    /// The events since were pruned, or are too many.
    TooOld,
    /// Its revision is ahead of all positions.
    Ahead,
    /// It had too many pending notices.
    Slow,
    /// It had the most pending notices when the process was over its bound of memory.
    Memory,
}

impl ResyncCause {
    fn name(self) -> &'static str {
        match self {
            Self::Rights => "rights",
            Self::Generation => "generation",
            Self::TooOld => "too_old",
            Self::Ahead => "ahead",
            Self::Slow => "slow",
            Self::Memory => "memory",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

/// Metrics of the way from a commit to the watchers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct EventMetrics {
    /// 1 while this process is the relay.
    pub(super) relay: Gauge,
    oldest_unplaced: Gauge<f64, AtomicU64>,
    /// Watchers of this process.
    pub(super) watchers: Gauge,
    /// Estimate of the bytes of pending notices and their chats.
    pub(super) pending: Gauge,
    /// Chats that were read for them.
    pub(super) chats_read: Counter,
    /// Times that a watcher was asked whether a change concerns it.
    pub(super) asked: Counter,
    /// Changes that concerned a watcher.
    pub(super) offered: Counter,
    resyncs: Family<CauseLabel, Counter>,
}

impl EventMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "relay",
            "1 while this process is the relay, which gives events their positions; one of all \
             replicas is",
            metrics.relay.clone(),
        );
        registry.register_with_unit(
            "change_events_oldest_unplaced",
            "Age of the oldest event without a position, of which no watcher of any replica can \
             hear; 0 when there is none",
            Unit::Seconds,
            metrics.oldest_unplaced.clone(),
        );
        registry.register(
            "watchers",
            "WatchChats streams that hear of changes",
            metrics.watchers.clone(),
        );
        registry.register_with_unit(
            "watch_pending",
            "Memory of pending notices of watchers, their chats, and the cache of recent chats",
            Unit::Bytes,
            metrics.pending.clone(),
        );
        for (name, help, counter) in [
            (
                "watch_chats_read",
                "Chats read since they changed, for all watchers together",
                &metrics.chats_read,
            ),
            (
                "watch_asked",
                "Times that policy was asked whether a change concerns a watcher",
                &metrics.asked,
            ),
            (
                "watch_offered",
                "Changes that concerned a watcher, before they were coalesced",
                &metrics.offered,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "watch_resyncs",
            "Watchers that were made to list again, by cause",
            metrics.resyncs.clone(),
        );
        metrics
    }

    pub(super) fn observe_unplaced(&self, age: Duration) {
        self.oldest_unplaced.set(age.as_secs_f64());
    }

    pub(super) fn count_resync(&self, cause: ResyncCause) {
        let cause = cause.name();
        self.resyncs.get_or_create(&CauseLabel { cause }).inc();
    }
}

#[cfg(test)]
impl EventMetrics {
    pub(super) fn resyncs(&self, cause: ResyncCause) -> u64 {
        let cause = cause.name();
        self.resyncs.get_or_create(&CauseLabel { cause }).get()
    }
}
