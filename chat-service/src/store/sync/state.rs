//! What operators ask: what is due, who leases it, what is wrong.

use std::time::Duration;

use super::lease::{duration, maybe_duration};
use crate::{
    diff_status::ProblemClass,
    store::{Sql, Store, StoreError, budgets::named, sql},
    sync::{Lane, budget::BudgetWindow},
};

const COUNT_DUE_REFS: Sql = sql!("count_due_refs");
const LIST_LIVE_LEASES: Sql = sql!("list_live_leases");
const LIST_PLANNED_BUDGETS: Sql = sql!("list_planned_budgets");
const COUNT_PROBLEMS: Sql = sql!("count_problems");

/// Leases, and budgets, that are listed at most.
const LISTED: i64 = 100;
/// Refs of a lane, and refs with a problem, that are counted at most.
const COUNTED: i64 = 10_000;

/// The state of the synchronisation.
pub(crate) struct SyncState {
    pub(crate) lanes: Vec<LaneState>,
    pub(crate) leases: Vec<LeaseState>,
    pub(crate) budgets: Vec<BudgetState>,
    pub(crate) problems: Vec<(ProblemClass, i64)>,
}

/// What is due in a lane.
pub(crate) struct LaneState {
    pub(crate) lane: Lane,
    pub(crate) due: i64,
    pub(crate) overdue: i64,
    pub(crate) oldest: Option<Duration>,
}

/// A live lease.
pub(crate) struct LeaseState {
    pub(crate) worker: String,
    pub(crate) budget_key: String,
    pub(crate) refs: i64,
    pub(crate) expires_in: Duration,
}

/// A budget for which something is planned.
pub(crate) struct BudgetState {
    pub(crate) budget_key: String,
    pub(crate) provider_id: String,
    pub(crate) rest: BudgetWindow,
    pub(crate) graphql: BudgetWindow,
    pub(crate) paused_for: Option<Duration>,
    pub(crate) strikes: i32,
    pub(crate) account_known: bool,
}

impl Store {
    /// The state of the synchronisation. The parts are of slightly different moments.
    pub(crate) async fn sync_state(&self) -> Result<SyncState, StoreError> {
        let lanes = self.read(COUNT_DUE_REFS, &[&COUNTED]).await?;
        let leases = self.read(LIST_LIVE_LEASES, &[&LISTED]).await?;
        let budgets = self.read(LIST_PLANNED_BUDGETS, &[&LISTED]).await?;
        let problems = self.read(COUNT_PROBLEMS, &[&COUNTED]).await?;
        Ok(SyncState {
            lanes: lanes.iter().map(lane_state).collect::<Result<_, _>>()?,
            leases: leases
                .iter()
                .map(|row| lease_state(row).map_err(StoreError::row))
                .collect::<Result<_, _>>()?,
            budgets: budgets
                .iter()
                .map(|row| budget_state(row).map_err(StoreError::row))
                .collect::<Result<_, _>>()?,
            problems: problems
                .iter()
                .map(|row| {
                    let class = named(row, "problem_class", ProblemClass::parse)?;
                    Ok((class, row.try_get("refs").map_err(StoreError::row)?))
                })
                .collect::<Result<_, StoreError>>()?,
        })
    }
}

fn lane_state(row: &tokio_postgres::Row) -> Result<LaneState, StoreError> {
    let lane: i16 = row.try_get("lane").map_err(StoreError::row)?;
    let oldest: Option<f64> = row.try_get("oldest_seconds").map_err(StoreError::row)?;
    Ok(LaneState {
        lane: Lane::from_number(lane)
            .ok_or_else(|| StoreError::bug("read a row", "lane: no lane"))?,
        due: row.try_get("due").map_err(StoreError::row)?,
        overdue: row.try_get("overdue").map_err(StoreError::row)?,
        oldest: oldest.map(duration),
    })
}

fn lease_state(row: &tokio_postgres::Row) -> Result<LeaseState, tokio_postgres::Error> {
    Ok(LeaseState {
        worker: row.try_get("lease_worker")?,
        budget_key: row.try_get("budget_key")?,
        refs: row.try_get("refs")?,
        expires_in: duration(row.try_get("expires_seconds")?),
    })
}

fn budget_state(row: &tokio_postgres::Row) -> Result<BudgetState, tokio_postgres::Error> {
    Ok(BudgetState {
        budget_key: row.try_get("budget_key")?,
        provider_id: row.try_get("provider_id")?,
        rest: BudgetWindow {
            limit: row.try_get("rest_limit")?,
            remaining: row.try_get("rest_remaining")?,
            reset_in: maybe_duration(row, "rest_reset_seconds")?,
            pause_for: maybe_duration(row, "rest_pause_seconds")?,
        },
        graphql: BudgetWindow {
            limit: row.try_get("graphql_limit")?,
            remaining: row.try_get("graphql_remaining")?,
            reset_in: maybe_duration(row, "graphql_reset_seconds")?,
            pause_for: maybe_duration(row, "graphql_pause_seconds")?,
        },
        paused_for: maybe_duration(row, "paused_seconds")?,
        strikes: row.try_get::<_, Option<i32>>("strikes")?.unwrap_or(0),
        account_known: row.try_get("account_known")?,
    })
}
