//! What this process counts. Units are in the names; no label holds an id.

use std::{collections::BTreeSet, sync::LazyLock, time::Instant};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use service_runtime::listener::ConnectionMetrics;
use tonic::Code;

use crate::{
    authz::Disagreements, events::metrics::EventMetrics, oauth::metrics::OauthMetrics,
    sync::metrics::SyncMetrics,
};

/// The paths of all methods that this process may serve.
static METHODS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    [
        proto::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
    ]
    .iter()
    .filter_map(|bytes| FileDescriptorSet::decode(*bytes).ok())
    .flat_map(|set| set.file)
    .flat_map(|file| {
        let package = file.package().to_owned();
        file.service.into_iter().flat_map(move |service| {
            let prefix = format!("/{package}.{}/", service.name());
            service
                .method
                .into_iter()
                .map(move |method| format!("{prefix}{}", method.name()))
        })
    })
    .collect()
});

/// All metrics of the process.
#[derive(Clone)]
pub struct Metrics {
    /// Calls.
    pub calls: Calls,
    /// Connections.
    pub connections: ConnectionMetrics,
    /// Leases, outcomes, credentials.
    pub sync: SyncMetrics,
    /// The way from a commit to the watchers.
    pub events: EventMetrics,
    /// Renewals of tokens.
    pub oauth: OauthMetrics,
    /// Decisions that Cedar would have made otherwise.
    pub disagreements: Disagreements,
}

impl Metrics {
    /// Registers everything.
    pub fn new(registry: &mut Registry) -> Self {
        Self {
            calls: Calls::new(registry),
            connections: ConnectionMetrics::register(registry),
            sync: SyncMetrics::register(registry),
            events: EventMetrics::register(registry),
            oauth: OauthMetrics::register(registry),
            disagreements: Disagreements::register(registry),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: &'static str,
    code: &'static str,
}

/// Calls by method and code.
#[derive(Clone)]
pub struct Calls {
    duration: Family<CallLabels, Histogram>,
    in_flight: Gauge,
}

impl Calls {
    fn new(registry: &mut Registry) -> Self {
        // 0.5 ms to 16 s.
        let duration = Family::new_with_constructor(
            (|| Histogram::new(exponential_buckets(0.0005, 2.0, 16))) as fn() -> Histogram,
        );
        let in_flight = Gauge::default();
        registry.register_with_unit(
            "rpc_duration",
            "Time until a call's answer, or until its stream began",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register(
            "rpc_in_flight",
            "Calls without an answer yet",
            in_flight.clone(),
        );
        Self {
            duration,
            in_flight,
        }
    }

    /// Begins to measure a call of the method with this path.
    pub(crate) fn begin(&self, path: &str) -> Observed {
        self.in_flight.inc();
        // Paths come from clients, before anybody is authenticated: only what exists is a label.
        let method = METHODS.get(path).map_or("other", String::as_str);
        Observed {
            calls: self.clone(),
            method,
            since: Instant::now(),
        }
    }
}

/// A call that is under way.
pub(crate) struct Observed {
    calls: Calls,
    method: &'static str,
    since: Instant,
}

impl Observed {
    /// The call has its answer.
    pub(crate) fn end(&self, code: Code) {
        let labels = CallLabels {
            method: self.method,
            code: code_name(code),
        };
        self.calls
            .duration
            .get_or_create(&labels)
            .observe(self.since.elapsed().as_secs_f64());
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.calls.in_flight.dec();
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_methods_that_exist_become_labels() {
        assert!(METHODS.contains("/chat.v1.ChatService/GetChats"));
        assert!(METHODS.contains("/grpc.health.v1.Health/Check"));
        assert!(!METHODS.contains("/chat.v1.ChatService/Anything"));
        assert!(METHODS.len() > 15);
    }
}
