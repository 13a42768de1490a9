//! Leases and outcomes: every statement that a worker's call runs, in transactions that begin and
//! end here.

mod lease;
mod merge;
mod report;
mod spread;
mod state;

pub(crate) use lease::{Claim, Leased, LeasedRow, Renewed, SealedCredential};
pub(crate) use merge::PendingMerge;
pub(crate) use report::Reported;
pub(crate) use spread::{Spread, Spreading};
pub(crate) use state::{BudgetState, LaneState, LeaseState, SyncState};

use super::{Sql, sql};

const FIND_SYNC_REQUEST: Sql = sql!("find_sync_request");
const INSERT_SYNC_REQUEST: Sql = sql!("insert_sync_request");
const RELEASE_REFS: Sql = sql!("release_refs");
/// Of the kinds in `sync_requests`.
const LEASE: &str = "lease";
/// Of the kinds in `sync_requests`.
const REPORT: &str = "report";
