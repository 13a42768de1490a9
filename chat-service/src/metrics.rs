//! Metrics of this process: RPCs and the database by OpenTelemetry's names, this service's own as
//! `chat_`. Units are in the names; no label holds an id.

use prometheus_client::registry::Registry;
use service_runtime::{call_metrics::CallMetrics, listener::ConnectionMetrics};

use crate::{
    authz::Disagreements, events::metrics::EventMetrics, oauth::metrics::OauthMetrics,
    survey::SurveyMetrics, sync::metrics::SyncMetrics,
};

/// All metrics of the process but those of its store and its limits, which register their own.
#[derive(Clone)]
pub struct Metrics {
    /// Calls.
    pub calls: CallMetrics,
    /// Connections.
    pub connections: ConnectionMetrics,
    /// Leases, outcomes, credentials.
    pub sync: SyncMetrics,
    /// The way from a commit to the watchers.
    pub events: EventMetrics,
    /// Renewals of tokens.
    pub oauth: OauthMetrics,
    /// Due, paused, refused and failing refs, over all replicas.
    pub survey: SurveyMetrics,
    /// Decisions that Cedar would have made otherwise.
    pub disagreements: Disagreements,
}

impl Metrics {
    /// Registers everything.
    pub fn new(registry: &mut Registry) -> Self {
        let calls = CallMetrics::default();
        calls.register_server(registry);
        Self {
            calls,
            connections: ConnectionMetrics::register(registry.sub_registry_with_prefix("chat")),
            sync: SyncMetrics::register(registry),
            events: EventMetrics::register(registry),
            oauth: OauthMetrics::register(registry),
            survey: SurveyMetrics::register(registry),
            disagreements: Disagreements::register(registry),
        }
    }
}
