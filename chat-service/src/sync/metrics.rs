//! Counts of what is leased, what came of it, and what must not happen.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use proto::sync::OutcomeStatus;

/// Declares counters that are called `sync_` and the field's name, with its documentation as help.
macro_rules! counters {
    ($($(#[doc = $help:literal])+ $counter:ident,)*) => {
        /// The counters of the sync side. Cheap to clone.
        #[derive(Clone, Debug, Default)]
        pub struct SyncMetrics {
            $($(#[doc = $help])+ pub $counter: Counter,)*
            outcomes: Family<StatusLabel, Counter>,
        }

        impl SyncMetrics {
            /// Registers the counters.
            #[must_use]
            pub fn register(registry: &mut Registry) -> Self {
                let metrics = Self::default();
                $(
                    let help = concat!($($help),+).trim().trim_end_matches('.');
                    let name = concat!("sync_", stringify!($counter));
                    registry.register(name, help, metrics.$counter.clone());
                )*
                let help = "Outcomes of refreshes by what became of them";
                registry.register("sync_outcomes", help, metrics.outcomes.clone());
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
    /// Lease calls of a worker that policy does not let read credentials. Above 0 it is an outage.
    credential_denied,
    /// Leased refs whose credential could not be opened.
    credential_unopened,
    /// Refs put off since another in their repository failed for all of them.
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

impl SyncMetrics {
    pub(super) fn count_outcomes(&self, statuses: &[OutcomeStatus]) {
        for status in statuses {
            let label = StatusLabel {
                status: status.name(),
            };
            self.outcomes.get_or_create(&label).inc();
        }
    }
}
