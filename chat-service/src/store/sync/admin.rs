//! Interventions of operators: ending a lease, lifting the pauses of a budget, having refs looked
//! up.

use uuid::Uuid;

use crate::{
    id::GitRefId,
    store::{
        Sql, Store, StoreError,
        column::{Columns as _, column, first},
        due::{LOCK_POLLS, NONE, SETTLE_BUDGETS},
        sql::{bind, sql},
        transaction::Tx,
    },
};

const LOCK_LEASED_BUDGET: Sql = sql!("lock_leased_budget");
const RESUME_BUDGET: Sql = sql!("resume_budget");
const REQUEUE_NAMED_REFS: Sql = sql!("requeue_named_refs");

impl Store {
    /// Ends the lease of the budget with this key, so that its token no longer proves anything, and
    /// returns the worker that held it. `None` when the budget is not leased.
    pub(crate) async fn end_lease(&self, budget_key: &str) -> Result<Option<String>, StoreError> {
        self.transaction(async |tx: Tx| {
            let rows = tx.query(LOCK_LEASED_BUDGET, &[&budget_key]).await?;
            let Some(row) = rows.first() else {
                return Ok(None);
            };
            let id: Uuid = row.get_as("id")?;
            let worker = row.get_as("lease_worker")?;
            tx.commit_after([bind(SETTLE_BUDGETS, &[&[id].as_slice(), &true, &NONE])])
                .await?;
            Ok(Some(worker))
        })
        .await
    }

    /// Lifts every pause and rest of the budget with this key. False when there is no such budget.
    pub(crate) async fn resume_budget(&self, budget_key: &str) -> Result<bool, StoreError> {
        self.transaction(async |tx: Tx| {
            let rows = tx.query(RESUME_BUDGET, &[&budget_key]).await?;
            let Some(id) = first::<Uuid>(&rows, "id")? else {
                return Ok(false);
            };
            tx.commit_after([bind(SETTLE_BUDGETS, &[&[id].as_slice(), &false, &NONE])])
                .await?;
            Ok(true)
        })
        .await
    }

    /// Makes `refs` due now, and returns those that exist.
    pub(crate) async fn requeue_refs(
        &self,
        refs: &[GitRefId],
    ) -> Result<Vec<GitRefId>, StoreError> {
        let refs: Vec<Uuid> = refs.iter().map(|id| id.0).collect();
        self.transaction(async |tx: Tx| {
            let locked = tx.query(LOCK_POLLS, &[&refs]).await?;
            let accounts: Vec<Uuid> = column(&locked, "account_id")?;
            let found: Vec<GitRefId> = column(&locked, "ref_id")?;
            tx.commit_due([bind(REQUEUE_NAMED_REFS, &[&refs])], &accounts)
                .await?;
            Ok(found)
        })
        .await
    }
}
