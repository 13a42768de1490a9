//! Forgetting what is old or unused. Each call is one small statement or transaction.

use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    column::{Columns as _, column},
    sql::{bind, sql},
    transaction::Tx,
};

const PRUNE_CHANGE_EVENTS: Sql = sql!("prune_change_events");
const PRUNE_SYNC_REQUESTS: Sql = sql!("prune_sync_requests");
const LIST_BUDGETS_AFTER: Sql = sql!("list_budgets_after");
const PRUNE_TOKENS: Sql = sql!("prune_tokens");
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

    /// Forgets requests that are too old to be repeated; says whether there may be more. To be
    /// called now and then.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn prune_sync_requests(&self) -> Result<bool, StoreError> {
        let pruned = self.write(PRUNE_SYNC_REQUESTS, &[&BATCH]).await?.len();
        Ok(is_full(pruned))
    }

    /// Looks at the budgets after `last`: forgets their tokens of long ago, and then those that
    /// neither an account nor a token has. Returns the last one it looked at; `None` when there are
    /// no more.
    pub(crate) async fn prune_budgets(&self, last: Uuid) -> Result<Option<Uuid>, StoreError> {
        let mut unused: Vec<Uuid> = Vec::new();
        self.write(PRUNE_TOKENS, &[&last, &BATCH]).await?;
        let rows = self.read(LIST_BUDGETS_AFTER, &[&last, &BATCH]).await?;
        let mut last = None;
        for row in &rows {
            let id = row.get_as("id")?;
            if row.get_as("unused")? {
                unused.push(id);
            }
            last = Some(id);
        }
        if !unused.is_empty() {
            self.transaction(|tx| delete_unused(tx, &unused)).await?;
        }
        Ok(last.filter(|_| is_full(rows.len())))
    }
}

async fn delete_unused(tx: Tx, unused: &[Uuid]) -> Result<(), StoreError> {
    let rows = tx.query(LOCK_UNUSED_BUDGETS, &[&unused]).await?;
    let locked: Vec<Uuid> = column(&rows, "id")?;
    // A statement of its own: it sees what was put into them before they were locked.
    tx.commit_after([bind(DELETE_UNUSED_BUDGETS, &[&locked])])
        .await?;
    Ok(())
}

fn is_full(rows: usize) -> bool {
    i64::try_from(rows).is_ok_and(|rows| rows >= BATCH)
}
