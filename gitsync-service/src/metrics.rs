//! What is counted. Units are in the names; no id, repository or token is ever a label.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tokio::time::Instant;

use proto::sync::{Finding, Lane, Outcome, ProblemName as _};

/// Seconds: from a cached answer of a near host to the request's deadline.
const DURATION_BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 12.0];

/// Questions in one request: from a single ref to as many ids as GitHub takes.
const BATCH_BUCKETS: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0];
/// By how much intervals are scaled: not at all, and up to 16 times.
const DEMAND_BUCKETS: [f64; 6] = [1.0, 1.5, 2.0, 4.0, 8.0, 16.0];

/// All counters of the process.
#[derive(Debug)]
pub struct Metrics {
    pub(crate) refs_leased: Counter,
    pub(crate) leases_lost: Counter,
    pub(crate) rate_limit_pauses: Counter,
    outcomes: Family<OutcomeLabels, Counter>,
    outcomes_rejected: Counter,
    calls_failed: Family<CallLabels, Counter>,
    host_requests: Family<HostRequestLabels, Counter>,
    host_requests_total: Counter,
    host_requests_in_flight: Gauge,
    host_request_seconds: Family<EndpointLabels, Histogram, fn() -> Histogram>,
    report_seconds: Histogram,
    pub(crate) graphql_points: Counter,
    pub(crate) host_breakers_opened: Counter,
    pub(crate) host_pauses: Counter,
    batch_questions: Family<KindLabels, Histogram, fn() -> Histogram>,
    batches_too_heavy: Family<KindLabels, Counter>,
    withheld: Family<WithheldLabels, Counter>,
    demand: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    result: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    /// Of the gRPC status, as in `permission_denied`.
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WithheldLabels {
    window: &'static str,
    lane: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HostRequestLabels {
    endpoint: &'static str,
    /// The HTTP status, or `none`.
    status: String,
}

fn sizes() -> Histogram {
    Histogram::new(BATCH_BUCKETS)
}

fn durations() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            refs_leased: Counter::default(),
            leases_lost: Counter::default(),
            rate_limit_pauses: Counter::default(),
            outcomes: Family::default(),
            outcomes_rejected: Counter::default(),
            calls_failed: Family::default(),
            host_requests: Family::default(),
            host_requests_total: Counter::default(),
            host_requests_in_flight: Gauge::default(),
            host_request_seconds: Family::new_with_constructor(durations),
            report_seconds: durations(),
            graphql_points: Counter::default(),
            host_breakers_opened: Counter::default(),
            host_pauses: Counter::default(),
            batch_questions: Family::new_with_constructor(sizes),
            batches_too_heavy: Family::default(),
            withheld: Family::default(),
            demand: Histogram::new(DEMAND_BUCKETS),
        }
    }
}

impl Metrics {
    /// Makes everything visible in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("gitsync");
        registry.register(
            "refs_leased",
            "Refs leased from chat-service",
            self.refs_leased.clone(),
        );
        registry.register(
            "leases_lost",
            "Leases that ran out or were taken away while work went on",
            self.leases_lost.clone(),
        );
        registry.register(
            "rate_limit_pauses",
            "Pauses of a budget or one of its windows that a host asked for",
            self.rate_limit_pauses.clone(),
        );
        registry.register(
            "outcomes",
            "Outcomes that chat-service accepted, by result and problem class",
            self.outcomes.clone(),
        );
        registry.register(
            "outcomes_rejected",
            "Outcomes that chat-service could not store",
            self.outcomes_rejected.clone(),
        );
        registry.register(
            "sync_calls_failed",
            "Calls to chat-service that failed, by call and status code",
            self.calls_failed.clone(),
        );
        registry.register(
            "host_requests",
            "Requests to git hosts, by endpoint and status",
            self.host_requests.clone(),
        );
        registry.register(
            "host_requests_in_flight",
            "Requests to git hosts without an answer yet",
            self.host_requests_in_flight.clone(),
        );
        registry.register(
            "host_request_duration_seconds",
            "Time to the head of a git host's answer",
            self.host_request_seconds.clone(),
        );
        registry.register(
            "report_duration_seconds",
            "Time to have outcomes accepted, retries included",
            self.report_seconds.clone(),
        );
        self.register_pace(registry);
    }

    fn register_pace(&self, registry: &mut Registry) {
        registry.register(
            "graphql_points",
            "What GraphQL requests cost, as the hosts said",
            self.graphql_points.clone(),
        );
        registry.register(
            "host_breakers_opened",
            "Times that the circuit breaker of a host opened, since it failed several budgets",
            self.host_breakers_opened.clone(),
        );
        registry.register(
            "host_pauses",
            "Times that a host was paused for all budgets, since it asked several to pause",
            self.host_pauses.clone(),
        );
        registry.register(
            "batch_questions",
            "Questions in one GraphQL request, by what is asked",
            self.batch_questions.clone(),
        );
        registry.register(
            "batches_too_heavy",
            "GraphQL requests that were more than a host gives at once",
            self.batches_too_heavy.clone(),
        );
        registry.register(
            "requests_withheld",
            "Requests withheld to keep the account owner's part of the rate limit, by window and lane",
            self.withheld.clone(),
        );
        registry.register(
            "interval_stretch",
            "By how much the intervals of a leased budget are scaled",
            self.demand.clone(),
        );
    }

    /// Counts the questions of one request, by the kind of question.
    pub(crate) fn observe_batch(&self, kind: &'static str, questions: usize) {
        let questions = u32::try_from(questions).unwrap_or(u32::MAX);
        self.batch_questions
            .get_or_create(&KindLabels { kind })
            .observe(f64::from(questions));
    }

    pub(crate) fn count_too_heavy(&self, kind: &'static str) {
        self.batches_too_heavy
            .get_or_create(&KindLabels { kind })
            .inc();
    }

    pub(crate) fn count_withheld(&self, window: &'static str, lane: Lane) {
        let lane = match lane {
            Lane::Interactive => "interactive",
            Lane::Viewed => "viewed",
            Lane::Active => "active",
            Lane::Idle => "idle",
        };
        self.withheld
            .get_or_create(&WithheldLabels { window, lane })
            .inc();
    }

    /// Counts by how much a lease's intervals are scaled.
    pub(crate) fn observe_demand(&self, factor: f64) {
        self.demand.observe(factor);
    }

    pub(crate) fn count_outcome(&self, outcome: &Outcome) {
        let (result, class) = match &outcome.finding {
            Finding::PullRequest(_) => ("found", "none"),
            Finding::Unchanged => ("unchanged", "none"),
            Finding::NoPullRequest => ("no_pull_request", "none"),
            Finding::Gone => ("gone", "none"),
            Finding::Failed { class, .. } => ("failed", class.name()),
        };
        self.outcomes
            .get_or_create(&OutcomeLabels { result, class })
            .inc();
    }

    pub(crate) fn count_rejected(&self) {
        self.outcomes_rejected.inc();
    }

    pub(crate) fn count_failed_call(&self, call: &'static str, code: &'static str) {
        self.calls_failed
            .get_or_create(&CallLabels { call, code })
            .inc();
    }

    pub(crate) fn observe_report(&self, took: Duration) {
        self.report_seconds.observe(took.as_secs_f64());
    }

    /// Counts a request to a git host; it is in flight until the guard is gone.
    pub(crate) fn start_host_request(&self, endpoint: &'static str) -> HostRequest<'_> {
        self.host_requests_total.inc();
        self.host_requests_in_flight.inc();
        HostRequest {
            metrics: self,
            endpoint,
            since: Instant::now(),
        }
    }

    pub(crate) fn host_requests(&self) -> u64 {
        self.host_requests_total.get()
    }

    pub(crate) fn host_requests_in_flight(&self) -> i64 {
        self.host_requests_in_flight.get()
    }
}

/// One request to a git host, while it lasts.
pub(crate) struct HostRequest<'a> {
    metrics: &'a Metrics,
    endpoint: &'static str,
    since: Instant,
}

impl HostRequest<'_> {
    /// The host answered with this status.
    pub(crate) fn answered(self, status: u16) {
        self.finish(status.to_string());
    }

    /// The host did not answer.
    pub(crate) fn failed(self) {
        self.finish("none".to_owned());
    }

    fn finish(self, status: String) {
        let endpoint = self.endpoint;
        self.metrics
            .host_requests
            .get_or_create(&HostRequestLabels { endpoint, status })
            .inc();
        self.metrics
            .host_request_seconds
            .get_or_create(&EndpointLabels { endpoint })
            .observe(self.since.elapsed().as_secs_f64());
    }
}

impl Drop for HostRequest<'_> {
    fn drop(&mut self) {
        self.metrics.host_requests_in_flight.dec();
    }
}

/// A registry with everything in it.
#[must_use]
pub fn registry(metrics: &Metrics) -> Arc<Registry> {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    Arc::new(registry)
}
