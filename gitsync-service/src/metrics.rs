//! The metrics of the process. Units are in the names; no id, repository or token is ever a label.
//! A host is named by the base of its API, as in chat-service's configuration.

use std::borrow::Cow;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use service_runtime::call_metrics::CallMetrics;
use tokio::time::Instant;

use proto::sync::{Finding, Lane, Outcome, ProblemClass, ProblemName as _, Window};

/// Seconds: from a cached answer of a near host to the request's deadline.
const DURATION_BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 12.0];

/// Questions in one request: from a single ref to as many ids as GitHub takes.
const BATCH_BUCKETS: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0];
/// By how much intervals are scaled: not at all, and up to 16 times.
const DEMAND_BUCKETS: [f64; 6] = [1.0, 1.5, 2.0, 4.0, 8.0, 16.0];
/// Shares of a limit: nothing, what even a person's looks leave, what is kept for the owner.
const SHARE_BUCKETS: [f64; 7] = [0.0, 0.05, 0.1, 0.25, 0.4, 0.7, 1.0];

/// Names and values.
type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

fn label(name: &'static str, value: &'static str) -> (&'static str, Cow<'static, str>) {
    (name, Cow::Borrowed(value))
}

fn of_host(host: &str) -> (&'static str, Cow<'static, str>) {
    ("host", Cow::Owned(host.to_owned()))
}

fn sizes() -> Histogram {
    Histogram::new(BATCH_BUCKETS)
}

fn durations() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

fn shares() -> Histogram {
    Histogram::new(SHARE_BUCKETS)
}

/// Each metric by its name, with its help text, and how it begins unless by default.
macro_rules! metrics {
    ($($name:ident: $metric:ty $(= $begin:expr)?, $help:literal;)*) => {
        /// All that the process counts.
        #[derive(Debug)]
        pub struct Metrics {
            $(pub(crate) $name: $metric,)*
            /// The calls that are served.
            pub(crate) served_calls: CallMetrics,
            /// The calls to chat-service.
            pub sync_calls: CallMetrics,
            /// All of `host_requests`, and those in flight.
            host_requests_begun: Counter,
        }

        impl Default for Metrics {
            fn default() -> Self {
                Self {
                    $($name: metrics!(@begin $($begin)?),)*
                    served_calls: CallMetrics::default(),
                    sync_calls: CallMetrics::default(),
                    host_requests_begun: Counter::default(),
                }
            }
        }

        /// A registry with everything in it.
        #[must_use]
        pub fn registry(metrics: &Metrics) -> Registry {
            let mut registry = Registry::default();
            metrics.served_calls.register_server(&mut registry);
            metrics.sync_calls.register_client(&mut registry);
            $(
                let name = concat!("gitsync_", stringify!($name));
                registry.register(name, $help, metrics.$name.clone());
            )*
            registry
        }
    };
    (@begin) => { Default::default() };
    (@begin $begin:expr) => { $begin };
}

metrics! {
    leased_refs: Counter, "Refs leased from chat-service";
    leases_held: Gauge, "Leases that are worked on now";
    leases_lost: Counter, "Leases that expired or were lost while they were worked on";
    outcomes: Counters<3>,
        "Outcomes that chat-service accepted, by host, result and problem class";
    outcomes_rejected: Counter, "Outcomes that chat-service could not store";
    report_duration_seconds: Histogram = durations(),
        "Time to have outcomes accepted, retries included";
    host_requests: Counters<3>,
        "Requests to git hosts, by host, endpoint and HTTP status; `none` if no response came";
    host_request_duration_seconds: Histograms<2> = Family::new_with_constructor(durations),
        "Time to the head of a git host's answer, by host and endpoint";
    host_requests_in_flight: Gauge, "Requests to git hosts without an answer yet";
    host_request_slots: Gauge, "Requests to git hosts that may be in flight at once";
    host_graphql_points: Counters<2>,
        "What GraphQL requests cost, as the hosts said, by host and query";
    host_state: Family<Labels<2>, Gauge>,
        "1 while a host is in a state, else 0: breaker_open (gets trial requests only, since it does \
         not answer), slowed or stopped (asked less or not, since several budgets met secondary \
         limits), or asked without GraphQL or a field of it";
    pauses: Counters<2>,
        "Pauses of a budget or one of its rate limit windows that a host asked for, by host and \
         class";
    window_left_ratio: Histograms<2> = Family::new_with_constructor(shares),
        "Remaining share of a rate limit window at each response that states it, by host and \
         window";
    requests_withheld: Counters<3>,
        "Requests withheld for the account owner's reserve of the rate limit, by host, window and \
         lane";
    batch_questions: Histograms<1> = Family::new_with_constructor(sizes),
        "Questions in one GraphQL request, by what is asked";
    batches_too_heavy: Counters<2>,
        "GraphQL requests that were more than a host gives at once, by host and what is asked";
    interval_stretch: Histogram = Histogram::new(DEMAND_BUCKETS),
        "By how much the intervals between lookups of a leased budget are scaled, for its limits";
}

impl Metrics {
    /// Counts the questions of one request, by the kind of question.
    pub(crate) fn observe_batch(&self, kind: &'static str, questions: usize) {
        let questions = u32::try_from(questions).unwrap_or(u32::MAX);
        let sizes = self.batch_questions.get_or_create(&[label("kind", kind)]);
        sizes.observe(f64::from(questions));
    }

    /// Notes that a host's state begins or ends.
    pub(crate) fn set_host_state(&self, host: &str, state: &'static str, holds: bool) {
        let labels = [of_host(host), label("state", state)];
        self.host_state.get_or_create(&labels).set(i64::from(holds));
    }

    pub(crate) fn count_too_heavy(&self, host: &str, kind: &'static str) {
        let labels = [of_host(host), label("kind", kind)];
        self.batches_too_heavy.get_or_create(&labels).inc();
    }

    pub(crate) fn count_withheld(&self, host: &str, window: &'static str, lane: Lane) {
        let labels = [
            of_host(host),
            label("window", window),
            label("lane", lane.name()),
        ];
        self.requests_withheld.get_or_create(&labels).inc();
    }

    pub(crate) fn count_pause(&self, host: &str, class: ProblemClass) {
        let labels = [of_host(host), label("class", class.name())];
        self.pauses.get_or_create(&labels).inc();
    }

    pub(crate) fn count_points(&self, host: &str, endpoint: &'static str, points: u64) {
        let labels = [of_host(host), label("endpoint", endpoint)];
        self.host_graphql_points
            .get_or_create(&labels)
            .inc_by(points);
    }

    /// Sets the gauges of a window from a response; a limit of 0 means that there is no limit.
    pub(crate) fn observe_window(&self, host: &str, window: &'static str, seen: &Window) {
        if let (Some(limit @ 1..), Some(remaining)) = (seen.limit, seen.remaining) {
            let count = |of: i64| f64::from(u32::try_from(of).unwrap_or(0));
            let labels = [of_host(host), label("window", window)];
            let left = count(remaining) / count(limit).max(1.0);
            self.window_left_ratio.get_or_create(&labels).observe(left);
        }
    }

    pub(crate) fn count_outcome(&self, host: &str, outcome: &Outcome) {
        let (result, class) = match &outcome.finding {
            Finding::PullRequest(_) => ("found", "none"),
            Finding::Unchanged => ("unchanged", "none"),
            Finding::NoPullRequest => ("no_pull_request", "none"),
            Finding::Gone => ("gone", "none"),
            Finding::Failed { class, .. } => ("failed", class.name()),
        };
        let labels = [
            of_host(host),
            label("result", result),
            label("class", class),
        ];
        self.outcomes.get_or_create(&labels).inc();
    }

    /// Counts a request to a git host; it is in flight until the guard is gone.
    pub(crate) fn start_host_request<'a>(
        &'a self,
        host: &'a str,
        endpoint: &'static str,
    ) -> HostRequest<'a> {
        self.host_requests_begun.inc();
        self.host_requests_in_flight.inc();
        HostRequest {
            metrics: self,
            host,
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
    host: &'a str,
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
        let [host, endpoint] = [of_host(self.host), label("endpoint", self.endpoint)];
        let answered = [host.clone(), endpoint.clone(), ("status", status)];
        self.metrics.host_requests.get_or_create(&answered).inc();
        let durations = &self.metrics.host_request_duration_seconds;
        let of_endpoint = durations.get_or_create(&[host, endpoint]);
        of_endpoint.observe(self.since.elapsed().as_secs_f64());
    }
}

impl Drop for HostRequest<'_> {
    fn drop(&mut self) {
        self.metrics.host_requests_in_flight.dec();
    }
}
