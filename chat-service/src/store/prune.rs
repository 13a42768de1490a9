//! Forgetting what is old or unused. Each is a small statement.

use uuid::Uuid;

use super::{Sql, Store, StoreError, column::first, sql::sql};

const PRUNE_CHANGE_EVENTS: Sql = sql!("prune_change_events");
const PRUNE_SYNC_REQUESTS: Sql = sql!("prune_sync_requests");
const PRUNE_TOKENS: Sql = sql!("prune_tokens");
const PRUNE_BUDGETS: Sql = sql!("prune_budgets");

/// Rows that one call forgets, or looks at, at most.
const BATCH: i64 = 1000;

impl Store {
    /// Forgets placed events older than `seconds`; says whether there may be more.
    pub(crate) async fn prune_change_events(&self, seconds: f64) -> Result<bool, StoreError> {
        let rows = self.write(PRUNE_CHANGE_EVENTS, &[&seconds, &BATCH]).await?;
        Ok(first::<i64>(&rows, "forgotten")? >= Some(BATCH))
    }

    /// Forgets requests that are too old to be repeated; says whether there may be more. To be
    /// called now and then.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn prune_sync_requests(&self) -> Result<bool, StoreError> {
        let pruned = self.write(PRUNE_SYNC_REQUESTS, &[&BATCH]).await?.len();
        Ok(is_full(pruned, BATCH))
    }

    /// Looks at the budgets after `last`: forgets their tokens of long ago, and then those that
    /// neither an account nor a token has. Returns the last one it looked at; `None` when there are
    /// no more.
    pub(crate) async fn prune_budgets(&self, last: Uuid) -> Result<Option<Uuid>, StoreError> {
        self.write(PRUNE_TOKENS, &[&last, &BATCH]).await?;
        let rows = self.write(PRUNE_BUDGETS, &[&last, &BATCH]).await?;
        first(&rows, "id")
    }
}

/// Whether a statement took all the `rows` that it takes at most.
pub(super) fn is_full(rows: usize, most: i64) -> bool {
    i64::try_from(rows).is_ok_and(|rows| rows >= most)
}
