//! The state of the synchronisation for operators: due refs, leases, problems.

use std::time::Duration;

use proto::sync::{Lane, Pause, ProblemClass, Window};
use tokio_postgres::Row;

use super::{hand_out::count, window::windows};
use crate::store::{
    Sql, Store, StoreError,
    column::Columns as _,
    sql::{bind, sql},
};

const COUNT_DUE_REFS: Sql = sql!("count_due_refs");
const LIST_LIVE_LEASES: Sql = sql!("list_live_leases");
const LIST_PLANNED_BUDGETS: Sql = sql!("list_planned_budgets");
const COUNT_PROBLEMS: Sql = sql!("count_problems");
const COUNT_SYNC_STATES: Sql = sql!("count_sync_states");

/// Leases, and budgets, that are listed at most.
const LISTED: i64 = 100;
/// Refs of a lane, and refs with a problem, that are counted at most.
pub(super) const COUNTED: i64 = 10_000;
/// Budgets of each lane, and accounts of a budget, whose due refs are counted at most.
pub(super) const COUNTED_BUDGETS: i64 = 2_000;

/// The state of the synchronisation.
pub(crate) struct SyncState {
    pub(crate) lanes: Vec<LaneState>,
    pub(crate) leases: Vec<LeaseState>,
    pub(crate) budgets: Vec<BudgetState>,
    pub(crate) problems: Vec<(ProblemClass, i64)>,
}

/// Counts of what [`SyncState`] lists.
pub(crate) struct SyncCounts {
    pub(crate) lanes: Vec<LaneState>,
    pub(crate) problems: Vec<(ProblemClass, i64)>,
    pub(crate) states: Vec<StateCount>,
}

/// How many leases, paused budgets or credentials of a provider are in a state.
pub(crate) struct StateCount {
    /// `lease`, `pause` or `credential`.
    pub(crate) kind: String,
    pub(crate) provider_id: String,
    /// Of a pause its class, of a credential what the host thinks of it.
    pub(crate) state: String,
    pub(crate) number: i64,
}

/// The due refs of a lane.
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
    pub(crate) windows: Vec<Window>,
    pub(crate) pause: Option<Pause>,
    pub(crate) strikes: u32,
    pub(crate) account_known: bool,
    pub(crate) lost_leases: u32,
}

impl Store {
    /// The state of the synchronisation. The parts are of slightly different moments.
    pub(crate) async fn sync_state(&self) -> Result<SyncState, StoreError> {
        let connection = self.connection().await?;
        let [lanes, leases, budgets, problems] = connection
            .read_all([
                bind(COUNT_DUE_REFS, &[&COUNTED, &COUNTED_BUDGETS]),
                bind(LIST_LIVE_LEASES, &[&LISTED]),
                bind(LIST_PLANNED_BUDGETS, &[&LISTED]),
                bind(COUNT_PROBLEMS, &[&COUNTED]),
            ])
            .await?;
        Ok(SyncState {
            lanes: lanes.iter().map(lane_state).collect::<Result<_, _>>()?,
            leases: leases.iter().map(lease_state).collect::<Result<_, _>>()?,
            budgets: budgets.iter().map(budget_state).collect::<Result<_, _>>()?,
            problems: problems
                .iter()
                .map(problem_count)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Store {
    /// How it stands with the synchronisation, in numbers. The parts are of slightly different
    /// moments.
    pub(crate) async fn sync_counts(&self) -> Result<SyncCounts, StoreError> {
        let connection = self.connection().await?;
        let [lanes, problems, states] = connection
            .read_all([
                bind(COUNT_DUE_REFS, &[&COUNTED, &COUNTED_BUDGETS]),
                bind(COUNT_PROBLEMS, &[&COUNTED]),
                bind(COUNT_SYNC_STATES, &[&COUNTED, &COUNTED_BUDGETS]),
            ])
            .await?;
        let rows = problems.iter().map(problem_count);
        Ok(SyncCounts {
            lanes: lanes.iter().map(lane_state).collect::<Result<_, _>>()?,
            problems: rows.collect::<Result<_, _>>()?,
            states: states.iter().map(state_count).collect::<Result<_, _>>()?,
        })
    }
}

fn state_count(row: &Row) -> Result<StateCount, StoreError> {
    Ok(StateCount {
        kind: row.get_as("kind")?,
        provider_id: row.get_as("provider_id")?,
        state: row.get_as("state")?,
        number: row.get_as("number")?,
    })
}

fn lane_state(row: &Row) -> Result<LaneState, StoreError> {
    Ok(LaneState {
        lane: row.get_as("lane")?,
        due: row.get_as("due")?,
        overdue: row.get_as("overdue")?,
        oldest: row.get_as("oldest_seconds")?,
    })
}

fn lease_state(row: &Row) -> Result<LeaseState, StoreError> {
    Ok(LeaseState {
        worker: row.get_as("lease_worker")?,
        budget_key: row.get_as("budget_key")?,
        refs: row.get_as("refs")?,
        expires_in: row.get_as("expires_seconds")?,
    })
}

fn budget_state(row: &Row) -> Result<BudgetState, StoreError> {
    let seconds: Option<Duration> = row.get_as("pause_seconds")?;
    let pause = match seconds {
        Some(duration) => Some(Pause {
            duration,
            class: row.get_as("pause_class")?,
            from_lane: row.get_as("pause_lane")?,
        }),
        None => None,
    };
    Ok(BudgetState {
        budget_key: row.get_as("budget_key")?,
        provider_id: row.get_as("provider_id")?,
        windows: windows(row)?,
        pause,
        strikes: count(row, "strikes")?,
        account_known: row.get_as("account_known")?,
        lost_leases: count(row, "lost_leases")?,
    })
}

fn problem_count(row: &Row) -> Result<(ProblemClass, i64), StoreError> {
    Ok((row.get_as("problem_class")?, row.get_as("refs")?))
}
