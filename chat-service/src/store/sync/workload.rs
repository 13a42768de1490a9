//! The amount of work for workers.

use std::time::Duration;

use super::state::{COUNTED, COUNTED_BUDGETS};
use crate::store::{Sql, Store, StoreError, column::Columns as _, sql::sql};

const FIND_WORK: Sql = sql!("find_work");
const COUNT_READY_REFS: Sql = sql!("count_ready_refs");

/// Refs that workers have, or could have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Workload {
    /// They can be leased now and have been due for long; counted up to 10,000.
    pub(crate) overdue: i64,
    /// Live leases hold them.
    pub(crate) leased: i64,
}

impl Store {
    /// Whether anything can be leased now, or is leased.
    pub(crate) async fn has_work(&self) -> Result<bool, StoreError> {
        let rows = self.read(FIND_WORK, &[]).await?;
        rows.first().map_or(Ok(false), |row| row.get_as("is_there"))
    }

    /// How many refs have been due for more than `overdue` and can be leased now, and how many are
    /// leased.
    pub(crate) async fn workload(&self, overdue: Duration) -> Result<Workload, StoreError> {
        let seconds = overdue.as_secs_f64();
        let rows = self
            .read(COUNT_READY_REFS, &[&seconds, &COUNTED, &COUNTED_BUDGETS])
            .await?;
        let Some(row) = rows.first() else {
            return Ok(Workload::default());
        };
        Ok(Workload {
            overdue: row.get_as("overdue")?,
            leased: row.get_as("leased")?,
        })
    }
}
