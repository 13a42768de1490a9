//! Forgetting what is old or in nobody's use. Each call is one small statement or transaction.

use uuid::Uuid;

use super::{Sql, Store, StoreError, query, sql};

const PRUNE_CHANGE_EVENTS: Sql = sql!("prune_change_events");
const PRUNE_SYNC_REQUESTS: Sql = sql!("prune_sync_requests");
const LIST_BUDGETS_AFTER: Sql = sql!("list_budgets_after");
const LOCK_UNUSED_BUDGETS: Sql = sql!("lock_unused_budgets");
const DELETE_UNUSED_BUDGETS: Sql = sql!("delete_unused_budgets");

/// Rows that one call forgets, or looks at, at most.
const BATCH: i64 = 1000;

impl Store {
    /// Forgets placed events older than `seconds`; says whether there may be more.
    pub(crate) async fn prune_change_events(&self, seconds: f64) -> Result<bool, StoreError> {
        let pruned = self
            .write(PRUNE_CHANGE_EVENTS, &[&seconds, &BATCH])
            .await?
            .len();
        Ok(is_full(pruned))
    }

    /// Forgets requests so old that nobody repeats them; says whether there may be more. To be
    /// called now and then.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn prune_sync_requests(&self) -> Result<bool, StoreError> {
        let pruned = self.write(PRUNE_SYNC_REQUESTS, &[&BATCH]).await?.len();
        Ok(is_full(pruned))
    }

    /// Looks at the budgets after `last`, and forgets those that nobody has. Returns the last one it
    /// looked at; none when there are no more.
    pub(crate) async fn prune_budgets(&self, last: Uuid) -> Result<Option<Uuid>, StoreError> {
        let mut unused: Vec<Uuid> = Vec::new();
        let rows = self.read(LIST_BUDGETS_AFTER, &[&last, &BATCH]).await?;
        let mut last = None;
        for row in &rows {
            let id = row.try_get("id").map_err(StoreError::row)?;
            if row.try_get("unused").map_err(StoreError::row)? {
                unused.push(id);
            }
            last = Some(id);
        }
        if !unused.is_empty() {
            let mut client = self.client().await?;
            let transaction = client.transaction().await.map_err(StoreError::from_read)?;
            let locked = query(&transaction, LOCK_UNUSED_BUDGETS.text, &[&unused])
                .await
                .map_err(StoreError::from_read)?
                .iter()
                .map(|row| row.try_get("id").map_err(StoreError::row))
                .collect::<Result<Vec<Uuid>, _>>()?;
            // A statement of its own: it sees what was put into them before they were locked.
            query(&transaction, DELETE_UNUSED_BUDGETS.text, &[&locked])
                .await
                .map_err(StoreError::from_write)?;
            transaction.commit().await.map_err(StoreError::from_write)?;
        }
        Ok(last.filter(|_| is_full(rows.len())))
    }
}

fn is_full(rows: usize) -> bool {
    i64::try_from(rows).is_ok_and(|rows| rows >= BATCH)
}
