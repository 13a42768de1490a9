//! Counts of what is leased, what came of it, and what must not happen.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use proto::sync::OutcomeStatus;

/// The counters of the sync side. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SyncMetrics {
    /// Refs handed to workers.
    pub leased_refs: Counter,
    /// Calls with a lease that was lost.
    pub leases_lost: Counter,
    /// Lease calls of a worker that may not read credentials. Anything but 0 is an outage.
    pub credential_denied: Counter,
    /// Refs whose credential could not be opened.
    pub credential_unopened: Counter,
    /// Refs that were put off, since another in their repository failed for all of them.
    pub put_off_refs: Counter,
    /// Refs that were made due, since another account's lookup saw their pull request change.
    pub hinted_refs: Counter,
    /// Chats that were noted as viewed.
    pub viewed_chats: Counter,
    /// Views that were not noted, since too many were.
    pub views_dropped: Counter,
    /// Budgets of tokens whose accounts went on to spend the budget of the host's account.
    pub merged_budgets: Counter,
    outcomes: Family<StatusLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

impl SyncMetrics {
    /// Registers the counters.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "sync_leased_refs",
            "Refs handed to workers",
            metrics.leased_refs.clone(),
        );
        registry.register(
            "sync_leases_lost",
            "Calls with a lease that was lost",
            metrics.leases_lost.clone(),
        );
        registry.register(
            "sync_credential_denied",
            "Lease calls of a worker that policy does not let read credentials",
            metrics.credential_denied.clone(),
        );
        registry.register(
            "sync_credential_unopened",
            "Leased refs whose credential could not be opened",
            metrics.credential_unopened.clone(),
        );
        registry.register(
            "sync_put_off_refs",
            "Refs put off since another in their repository failed for all of them",
            metrics.put_off_refs.clone(),
        );
        registry.register(
            "sync_hinted_refs",
            "Refs made due since another account's lookup saw their pull request change",
            metrics.hinted_refs.clone(),
        );
        registry.register(
            "sync_viewed_chats",
            "Chats noted as viewed, each at most once a minute",
            metrics.viewed_chats.clone(),
        );
        registry.register(
            "sync_views_dropped",
            "Views that were not noted, since too many were",
            metrics.views_dropped.clone(),
        );
        registry.register(
            "sync_merged_budgets",
            "Budgets of tokens whose accounts went on to spend the budget of the host's account",
            metrics.merged_budgets.clone(),
        );
        registry.register(
            "sync_outcomes",
            "Outcomes of refreshes by what became of them",
            metrics.outcomes.clone(),
        );
        metrics
    }

    pub(super) fn count_outcomes(&self, statuses: &[OutcomeStatus]) {
        for status in statuses {
            let label = StatusLabel {
                status: status.name(),
            };
            self.outcomes.get_or_create(&label).inc();
        }
    }
}
