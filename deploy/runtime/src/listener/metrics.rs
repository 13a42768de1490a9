//! Metrics of listeners.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

type Label = [(&'static str, &'static str); 1];

/// The connections of all listeners of the process, by listener.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    open: Family<Label, Gauge>,
    refused: Family<Label, Counter>,
    handshakes_failed: Family<Label, Counter>,
}

/// The connections of one listener. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ListenerMetrics {
    pub(super) open: Gauge,
    pub(super) refused: Counter,
    pub(super) handshakes_failed: Counter,
}

impl ConnectionMetrics {
    /// Registers everything.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "connections_open",
            "Connections now open, by listener",
            metrics.open.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections that were closed at once because the listener was full",
            metrics.refused.clone(),
        );
        registry.register(
            "tls_handshakes_failed",
            "TLS handshakes that failed, for example for want of an accepted client certificate",
            metrics.handshakes_failed.clone(),
        );
        metrics
    }

    /// Of the listener with this name.
    #[must_use]
    pub fn of(&self, listener: &'static str) -> ListenerMetrics {
        let label = [("listener", listener)];
        ListenerMetrics {
            open: self.open.get_or_create(&label).clone(),
            refused: self.refused.get_or_create(&label).clone(),
            handshakes_failed: self.handshakes_failed.get_or_create(&label).clone(),
        }
    }
}
