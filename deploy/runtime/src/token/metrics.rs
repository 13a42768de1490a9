//! Metrics of keys and their sources.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

type Labels = [(&'static str, &'static str); 2];
type Label = [(&'static str, &'static str); 1];

/// The keys of all verifiers of the process, by verifier.
#[derive(Clone, Debug, Default)]
pub struct KeyMetrics {
    loads: Family<Labels, Counter>,
    failing: Family<Label, Gauge>,
    keys: Family<Label, Gauge>,
}

/// The keys of one verifier.
#[derive(Clone, Debug, Default)]
pub(super) struct VerifierMetrics {
    pub(super) loaded: Counter,
    pub(super) failed: Counter,
    /// Sources of which the last load failed.
    pub(super) failing: Gauge,
    pub(super) keys: Gauge,
}

impl KeyMetrics {
    /// Registers everything.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "jwt_key_loads",
            "Loads of the keys that verify tokens, by outcome: ok or failed",
            metrics.loads.clone(),
        );
        registry.register(
            "jwt_key_sources_failing",
            "Files and URLs whose last load of keys failed; the keys loaded before stay in force",
            metrics.failing.clone(),
        );
        registry.register(
            "jwt_keys",
            "Keys that verify tokens now",
            metrics.keys.clone(),
        );
        metrics
    }

    pub(super) fn of(&self, verifier: &'static str) -> VerifierMetrics {
        let loads = |outcome| {
            let labels = [("verifier", verifier), ("outcome", outcome)];
            self.loads.get_or_create(&labels).clone()
        };
        let label = [("verifier", verifier)];
        VerifierMetrics {
            loaded: loads("ok"),
            failed: loads("failed"),
            failing: self.failing.get_or_create(&label).clone(),
            keys: self.keys.get_or_create(&label).clone(),
        }
    }
}
