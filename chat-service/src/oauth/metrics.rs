//! Metrics of token renewals, their cost and results.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// The result of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RenewalOutcome {
    /// The new tokens are stored.
    Renewed,
    /// They were not needed: the account was linked again, or another process was first.
    Superseded,
    /// The host refused the refresh token for the first time.
    Doubted,
    /// It did so again: the user is to link the account again.
    Rejected,
    /// The host failed.
    Failed,
    /// The host does not accept this service's client id or secret.
    Misconfigured,
    /// The refresh token does not open: its sealing key is not in the ring.
    Unopened,
    /// The breaker was open: nothing was sent.
    NotSent,
}

impl RenewalOutcome {
    fn name(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Superseded => "superseded",
            Self::Doubted => "doubted",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Misconfigured => "misconfigured",
            Self::Unopened => "unopened",
            Self::NotSent => "not_sent",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    provider: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabel {
    provider: String,
}

/// Metrics of renewals. Providers are those that are configured. Cheap to clone.
#[derive(Clone)]
pub struct OauthMetrics {
    renewals: Family<OutcomeLabels, Counter>,
    duration: Family<ProviderLabel, Histogram>,
    breaker: Family<ProviderLabel, Gauge>,
    misconfigured: Family<ProviderLabel, Gauge>,
}

impl OauthMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            renewals: Family::default(),
            // 50 ms to 26 s.
            duration: Family::new_with_constructor(
                (|| Histogram::new(exponential_buckets(0.05, 2.0, 10))) as fn() -> Histogram,
            ),
            breaker: Family::default(),
            misconfigured: Family::default(),
        };
        registry.register(
            "chat_oauth_renewals",
            "Renewals of users' expiring tokens, by outcome",
            metrics.renewals.clone(),
        );
        registry.register_with_unit(
            "chat_oauth_request_duration",
            "Time until a token endpoint answered",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "chat_oauth_breaker_open",
            "1 while the circuit breaker of a token endpoint is open, which then gets trial \
             requests only",
            metrics.breaker.clone(),
        );
        registry.register(
            "chat_oauth_misconfigured",
            "1 while a git host does not accept this service's OAuth client id or secret: no token \
             is renewed there",
            metrics.misconfigured.clone(),
        );
        metrics
    }

    pub(super) fn count(&self, provider: &str, outcome: RenewalOutcome) {
        let labels = OutcomeLabels {
            provider: provider.to_owned(),
            outcome: outcome.name(),
        };
        self.renewals.get_or_create(&labels).inc();
    }

    pub(super) fn answered(&self, provider: &str, after: Duration) {
        let of = label(provider);
        self.duration
            .get_or_create(&of)
            .observe(after.as_secs_f64());
    }

    pub(super) fn state(&self, provider: &str, open: bool, misconfigured: bool) {
        let of = label(provider);
        self.breaker.get_or_create(&of).set(open.into());
        self.misconfigured
            .get_or_create(&of)
            .set(misconfigured.into());
    }
}

fn label(provider: &str) -> ProviderLabel {
    ProviderLabel {
        provider: provider.to_owned(),
    }
}
