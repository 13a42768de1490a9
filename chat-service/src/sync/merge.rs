//! What a report or the end of a lease means for the other keys of an account: they are merged, and as
//! long as they are not, a pause that one of them met holds for all.

use uuid::Uuid;

use super::Dispatcher;
use crate::{
    accounts::BudgetKey,
    store::{StoreError, sync::PendingMerge},
};

impl Dispatcher {
    /// Merges the keys of tokens that are the account's whose budget was just given back. What cannot
    /// be done now is done after another lease.
    pub(super) async fn merge(&self, budget: Uuid) {
        if let Err(error) = self.try_merge(budget).await {
            tracing::warn!(%error, "the keys of an account were not merged");
        }
    }

    async fn try_merge(&self, budget: Uuid) -> Result<(), StoreError> {
        let parts = &*self.0;
        let mut apart = None;
        for pending in parts.store.pending_merges(budget).await? {
            let PendingMerge {
                budget,
                provider_id,
                account_id,
            } = pending;
            let Some(provider) = parts.providers.by_id(&provider_id) else {
                continue;
            };
            let key = BudgetKey::of_account(provider, &account_id);
            if parts.store.merge_budget(budget, &key, &provider_id).await? {
                parts.metrics.merged_budgets.inc();
                tracing::info!(budget.key = key.0, "tokens are one account's at the host");
            } else {
                apart = Some(budget);
            }
        }
        if let Some(budget) = apart {
            // What the others met before it was known that this is the same account's.
            parts.store.share_pauses(budget).await?;
        }
        Ok(())
    }

    /// Has a pause that was just reported hold for all keys of the account.
    pub(super) async fn share_pauses(&self, budget: Uuid) {
        if let Err(error) = self.0.store.share_pauses(budget).await {
            // They are shared after another lease, or each key meets the limit by itself.
            tracing::warn!(%error, "a pause was not shared with the keys of its account");
        }
    }
}
