//! Metrics of the limits. No caller is a label.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// A limit that a call may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// Calls a second of the caller.
    CallRate,
    /// Calls in flight of the caller.
    Calls,
    /// Calls of the caller that wait.
    WaitingCalls,
    /// Watches of the caller.
    Watches,
    /// Bytes of the caller's answers that were not taken yet.
    UnreadAnswers,
    /// Calls and streams of the process.
    ProcessCalls,
    /// Calls of the process that wait.
    ProcessWaitingCalls,
    /// Bytes of the process's answers that were not taken yet.
    ProcessUnreadAnswers,
}

impl Limit {
    const ALL: [Self; 8] = [
        Self::CallRate,
        Self::Calls,
        Self::WaitingCalls,
        Self::Watches,
        Self::UnreadAnswers,
        Self::ProcessCalls,
        Self::ProcessWaitingCalls,
        Self::ProcessUnreadAnswers,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::CallRate => "call_rate",
            Self::Calls => "calls",
            Self::WaitingCalls => "waiting_calls",
            Self::Watches => "watches",
            Self::UnreadAnswers => "unread_answers",
            Self::ProcessCalls => "process_calls",
            Self::ProcessWaitingCalls => "process_waiting_calls",
            Self::ProcessUnreadAnswers => "process_unread_answers",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

/// The gauges are what the bounds of the process are held against. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct LimitMetrics {
    refused: Family<LimitLabel, Counter>,
    /// Answers that were not taken in time.
    pub(super) ended_answers: Counter,
    /// Callers that the process remembers.
    pub(super) callers: Gauge,
    /// Calls and streams in flight.
    pub(super) calls: Gauge,
    /// Of those, the ones that wait.
    pub(super) waiting_calls: Gauge,
    /// Of those, the ones that watch.
    pub(super) watches: Gauge,
    /// Bytes of answers that were not taken yet.
    pub(super) unread_bytes: Gauge,
}

impl LimitMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        // Counted from 0 on: what begins with 1 has no increase.
        for limit in Limit::ALL.map(Limit::name) {
            metrics.refused.get_or_create_owned(&LimitLabel { limit });
        }
        registry.register(
            "chat_refused_calls",
            "Calls that were refused, by the limit that they exceeded",
            metrics.refused.clone(),
        );
        registry.register(
            "chat_ended_answers",
            "Answers that were ended because their callers did not read them in time",
            metrics.ended_answers.clone(),
        );
        for (name, help, gauge) in [
            (
                "chat_callers",
                "Users and services with calls in flight or within the last seconds",
                &metrics.callers,
            ),
            (
                "chat_calls_in_flight",
                "Calls and streams from the first byte to the last of their answers",
                &metrics.calls,
            ),
            (
                "chat_waiting_calls",
                "Calls in flight that wait for a worker or for work",
                &metrics.waiting_calls,
            ),
            (
                "chat_watches",
                "Streams in flight of WatchChats",
                &metrics.watches,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register_with_unit(
            "chat_unread_answers",
            "Answers that their callers have not read yet",
            Unit::Bytes,
            metrics.unread_bytes.clone(),
        );
        metrics
    }

    pub(super) fn refuse(&self, limit: Limit) {
        let limit = limit.name();
        self.refused.get_or_create(&LimitLabel { limit }).inc();
    }
}

/// A count as gauges hold it.
pub(super) fn gauged(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
