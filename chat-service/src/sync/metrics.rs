//! Counters of leases, of outcomes and their lateness, and of states that should not occur.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use proto::sync::{Lane, OutcomeStatus};

/// Upper bounds in seconds: from a lookup that a person waits for to a backlog of an hour.
const LATENESS: [f64; 12] = [
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0,
];

/// Declares counters that are called `chat_` and the field's name, with its documentation as help.
macro_rules! counters {
    ($($(#[doc = $help:literal])+ $counter:ident,)*) => {
        /// The counters of the sync side. Cheap to clone.
        #[derive(Clone, Debug)]
        pub struct SyncMetrics {
            $($(#[doc = $help])+ pub $counter: Counter,)*
            outcomes: Family<StatusLabel, Counter>,
            lateness: Family<LaneLabel, Histogram, fn() -> Histogram>,
        }

        impl Default for SyncMetrics {
            fn default() -> Self {
                Self {
                    $($counter: Counter::default(),)*
                    outcomes: Family::default(),
                    lateness: Family::new_with_constructor(|| Histogram::new(LATENESS)),
                }
            }
        }

        impl SyncMetrics {
            /// Registers the metrics.
            #[must_use]
            pub fn register(registry: &mut Registry) -> Self {
                let metrics = Self::default();
                $(
                    let help = concat!($($help),+).trim().trim_end_matches('.');
                    let name = concat!("chat_", stringify!($counter));
                    registry.register(name, help, metrics.$counter.clone());
                )*
                let help = "Outcomes of refreshes, by result";
                // Counted from 0 on: what begins with 1 has no increase.
                for status in OutcomeStatus::ALL {
                    metrics.outcomes_of(*status);
                }
                registry.register("chat_outcomes", help, metrics.outcomes.clone());
                let help = "Time from when a ref was due to when its outcome was stored, by the lane \
                            in which it was due";
                for lane in Lane::ALL {
                    metrics.lateness_of(*lane);
                }
                let lateness = metrics.lateness.clone();
                registry.register_with_unit("chat_refresh_lateness", help, Unit::Seconds, lateness);
                metrics
            }
        }
    };
}

counters! {
    /// Refs handed to workers.
    leased_refs,
    /// Calls with a lease that was lost.
    leases_lost,
    /// Leases that ran out since their worker neither renewed them nor gave them back, counted when
    /// their budget is leased again.
    leases_expired,
    /// Lease calls of a worker that policy does not let read credentials. Above 0 it is an outage.
    credential_denied,
    /// Leased refs whose credential could not be opened.
    credential_unopened,
    /// Refs deferred because another ref failed for their whole repository.
    put_off_refs,
    /// Refs made due since another account's lookup saw their pull request change.
    hinted_refs,
    /// Chats noted as viewed, each about once a minute.
    viewed_chats,
    /// Views that were not noted, since too many were.
    views_dropped,
    /// Budgets of tokens whose accounts went on to spend the budget of the host's account.
    merged_budgets,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabel {
    lane: &'static str,
}

impl SyncMetrics {
    pub(super) fn observe_lateness(&self, late: &[(Lane, Duration)]) {
        for (lane, late) in late {
            self.lateness_of(*lane).observe(late.as_secs_f64());
        }
    }

    fn lateness_of(&self, lane: Lane) -> Histogram {
        let lane = lane.name();
        self.lateness.get_or_create_owned(&LaneLabel { lane })
    }

    pub(super) fn count_outcomes(&self, statuses: &[OutcomeStatus]) {
        for status in statuses {
            self.outcomes_of(*status).inc();
        }
    }

    fn outcomes_of(&self, status: OutcomeStatus) -> Counter {
        let status = status.name();
        self.outcomes.get_or_create_owned(&StatusLabel { status })
    }
}
