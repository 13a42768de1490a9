//! What is counted. Units are in the names; no id, repository or token is ever a label.

use std::borrow::Cow;

use prometheus_client::{
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

/// Names and values.
type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

fn labels<const N: usize>(labels: [(&'static str, &'static str); N]) -> Labels<N> {
    labels.map(|(name, value)| (name, Cow::Borrowed(value)))
}

fn sizes() -> Histogram {
    Histogram::new(BATCH_BUCKETS)
}

fn durations() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

/// Each metric by its name, with its help text, and how it begins unless by default.
macro_rules! metrics {
    ($($name:ident: $metric:ty $(= $begin:expr)?, $help:literal;)*) => {
        /// All counters of the process.
        #[derive(Debug)]
        pub struct Metrics {
            $(pub(crate) $name: $metric,)*
            /// All of `host_requests`, and those in flight.
            host_requests_begun: Counter,
        }

        impl Default for Metrics {
            fn default() -> Self {
                Self {
                    $($name: metrics!(@begin $($begin)?),)*
                    host_requests_begun: Counter::default(),
                }
            }
        }

        /// A registry with everything in it.
        #[must_use]
        pub fn registry(metrics: &Metrics) -> Registry {
            let mut registry = Registry::with_prefix("gitsync");
            $(registry.register(stringify!($name), $help, metrics.$name.clone());)*
            registry
        }
    };
    (@begin) => { Default::default() };
    (@begin $begin:expr) => { $begin };
}

metrics! {
    refs_leased: Counter, "Refs leased from chat-service";
    leases_lost: Counter, "Leases that ran out or were taken away while work went on";
    leases_panicked: Counter, "Leases whose work panicked; they run out by themselves";
    rate_limit_pauses: Counter,
        "Pauses of a budget or one of its windows that a host asked for";
    outcomes: Counters<2>, "Outcomes that chat-service accepted, by result and problem class";
    outcomes_rejected: Counter, "Outcomes that chat-service could not store";
    sync_calls_failed: Counters<2>, "Calls to chat-service that failed, by call and status code";
    host_requests: Counters<2>, "Requests to git hosts, by endpoint and status";
    host_requests_in_flight: Gauge, "Requests to git hosts without an answer yet";
    host_request_duration_seconds: Histograms = Family::new_with_constructor(durations),
        "Time to the head of a git host's answer";
    report_duration_seconds: Histogram = durations(),
        "Time to have outcomes accepted, retries included";
    graphql_points: Counter, "What GraphQL requests cost, as the hosts said";
    host_breakers_opened: Counter,
        "Times that the circuit breaker of a host opened, since it failed several budgets";
    host_pauses: Counter,
        "Times that a host was paused for all budgets, since it asked several to pause";
    host_state: Family<Labels<2>, Gauge>,
        "Whether a host is now slowed, without answers, or asked without GraphQL or a field of it";
    batch_questions: Histograms = Family::new_with_constructor(sizes),
        "Questions in one GraphQL request, by what is asked";
    batches_too_heavy: Counters<1>, "GraphQL requests that were more than a host gives at once";
    requests_withheld: Counters<2>,
        "Requests withheld to keep the account owner's part of the rate limit, by window and lane";
    interval_stretch: Histogram = Histogram::new(DEMAND_BUCKETS),
        "By how much the intervals of a leased budget are scaled";
}

impl Metrics {
    /// Counts the questions of one request, by the kind of question.
    pub(crate) fn observe_batch(&self, kind: &'static str, questions: usize) {
        let questions = u32::try_from(questions).unwrap_or(u32::MAX);
        let of_kind = labels([("kind", kind)]);
        let sizes = self.batch_questions.get_or_create(&of_kind);
        sizes.observe(f64::from(questions));
    }

    /// Notes that a host's state begins or ends.
    pub(crate) fn set_host_state(&self, host: &str, state: &'static str, holds: bool) {
        let host = Cow::Owned(host.to_owned());
        let labels = [("host", host), ("state", Cow::Borrowed(state))];
        self.host_state.get_or_create(&labels).set(i64::from(holds));
    }

    pub(crate) fn count_too_heavy(&self, kind: &'static str) {
        let of_kind = labels([("kind", kind)]);
        self.batches_too_heavy.get_or_create(&of_kind).inc();
    }

    pub(crate) fn count_withheld(&self, window: &'static str, lane: Lane) {
        let withheld = labels([("window", window), ("lane", lane.name())]);
        self.requests_withheld.get_or_create(&withheld).inc();
    }

    pub(crate) fn count_outcome(&self, outcome: &Outcome) {
        let (result, class) = match &outcome.finding {
            Finding::PullRequest(_) => ("found", "none"),
            Finding::Unchanged => ("unchanged", "none"),
            Finding::NoPullRequest => ("no_pull_request", "none"),
            Finding::Gone => ("gone", "none"),
            Finding::Failed { class, .. } => ("failed", class.name()),
        };
        let outcome = labels([("result", result), ("class", class)]);
        self.outcomes.get_or_create(&outcome).inc();
    }

    pub(crate) fn count_failed_call(&self, call: &'static str, code: &'static str) {
        let failed = labels([("call", call), ("code", code)]);
        self.sync_calls_failed.get_or_create(&failed).inc();
    }

    /// Counts a request to a git host; it is in flight until the guard is gone.
    pub(crate) fn start_host_request(&self, endpoint: &'static str) -> HostRequest<'_> {
        self.host_requests_begun.inc();
        self.host_requests_in_flight.inc();
        HostRequest {
            metrics: self,
            endpoint,
            since: Instant::now(),
        }
    }

    pub(crate) fn host_requests_begun(&self) -> u64 {
        self.host_requests_begun.get()
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
        self.finish(Cow::Owned(status.to_string()));
    }

    /// The host did not answer.
    pub(crate) fn failed(self) {
        self.finish(Cow::Borrowed("none"));
    }

    fn finish(self, status: Cow<'static, str>) {
        let endpoint = ("endpoint", Cow::Borrowed(self.endpoint));
        let answered = [endpoint.clone(), ("status", status)];
        self.metrics.host_requests.get_or_create(&answered).inc();
        let durations = &self.metrics.host_request_duration_seconds;
        let of_endpoint = durations.get_or_create(&[endpoint]);
        of_endpoint.observe(self.since.elapsed().as_secs_f64());
    }
}

impl Drop for HostRequest<'_> {
    fn drop(&mut self) {
        self.metrics.host_requests_in_flight.dec();
    }
}
