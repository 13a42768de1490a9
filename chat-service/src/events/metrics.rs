//! Metrics of the delivery of changes to watchers, and of its cost.

use std::{sync::atomic::AtomicU64, time::Duration};

use jiff::Timestamp;
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
    const ALL: [Self; 6] = [
        Self::Rights,
        Self::Generation,
        Self::TooOld,
        Self::Ahead,
        Self::Slow,
        Self::Memory,
    ];

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
    lag: Gauge<f64, AtomicU64>,
    clock_offset: Gauge<f64, AtomicU64>,
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
            "chat_relay",
            "1 while this process is the relay, which gives events their positions; one of all \
             replicas is it",
            metrics.relay.clone(),
        );
        registry.register_with_unit(
            "chat_oldest_unplaced_event",
            "Age of the oldest event without a position, which no watcher has received yet; 0 if \
             none waits",
            Unit::Seconds,
            metrics.oldest_unplaced.clone(),
        );
        registry.register_with_unit(
            "chat_watch_lag",
            "Upper bound of the delay of changes to the watchers of this process: the time since \
             it last read events, plus the age of the oldest event without a position then",
            Unit::Seconds,
            metrics.lag.clone(),
        );
        registry.register_with_unit(
            "chat_database_clock_offset",
            "Lead of the database's clock over this process's clock",
            Unit::Seconds,
            metrics.clock_offset.clone(),
        );
        registry.register(
            "chat_watchers",
            "WatchChats streams that receive changes",
            metrics.watchers.clone(),
        );
        registry.register_with_unit(
            "chat_watch_pending",
            "Memory of pending notices of watchers, their chats, and the cache of recent chats",
            Unit::Bytes,
            metrics.pending.clone(),
        );
        for (name, help, counter) in [
            (
                "chat_watch_chats_read",
                "Chats read since they changed, for all watchers together",
                &metrics.chats_read,
            ),
            (
                "chat_watch_asked",
                "Policy checks of whether a change concerns a watcher",
                &metrics.asked,
            ),
            (
                "chat_watch_offered",
                "Changes that concerned a watcher, before they were coalesced",
                &metrics.offered,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        // Counted from 0 on: what begins with 1 has no increase.
        for cause in ResyncCause::ALL {
            metrics.resyncs_of(cause);
        }
        registry.register(
            "chat_watch_resyncs",
            "Watchers that had to list again, by cause",
            metrics.resyncs.clone(),
        );
        metrics
    }

    pub(super) fn observe_unplaced(&self, age: Duration) {
        self.oldest_unplaced.set(age.as_secs_f64());
    }

    /// Notes an upper bound of how long a change has waited for the watchers of this process.
    pub fn observe_lag(&self, lag: Duration) {
        self.lag.set(lag.as_secs_f64());
    }

    /// Notes the database's time, as it has just been heard.
    pub(super) fn observe_clock(&self, time: Timestamp) {
        let ahead = time.duration_since(Timestamp::now());
        self.clock_offset.set(ahead.as_secs_f64());
    }

    /// Whether this process is the relay now.
    #[must_use]
    pub fn is_relay(&self) -> bool {
        self.relay.get() == 1
    }

    pub(super) fn count_resync(&self, cause: ResyncCause) {
        self.resyncs_of(cause).inc();
    }

    fn resyncs_of(&self, cause: ResyncCause) -> Counter {
        let cause = cause.name();
        self.resyncs.get_or_create_owned(&CauseLabel { cause })
    }
}

#[cfg(test)]
impl EventMetrics {
    pub(super) fn resyncs(&self, cause: ResyncCause) -> u64 {
        self.resyncs_of(cause).get()
    }
}
