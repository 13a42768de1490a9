//! What shows that changes reach watchers.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    metrics::gauge::Gauge,
    registry::{Registry, Unit},
};

/// Gauges of the way from a commit to the watchers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct EventMetrics {
    /// 1 while this process is the relay.
    pub(super) relay: Gauge,
    oldest_unplaced: Gauge<f64, AtomicU64>,
}

impl EventMetrics {
    /// Registers the gauges.
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
        metrics
    }

    pub(super) fn observe_unplaced(&self, age: Duration) {
        self.oldest_unplaced.set(age.as_secs_f64());
    }
}
