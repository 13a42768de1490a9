//! Leases and outcomes: every statement that a worker's call runs, in transactions that begin and
//! end here.

mod admin;
mod diff;
mod hand_out;
mod lease;
mod report;
mod spread;
mod state;
mod window;
mod workload;

pub(crate) use diff::DiffReportResult;
pub(crate) use hand_out::{LeaseRows, LeasedRow, SealedCredential};
pub(crate) use lease::Claim;
pub use lease::QUANTUM;
pub(crate) use report::{CredentialRefusal, ReportResult, own_failure};
pub(crate) use state::{BudgetState, LaneState, LeaseState, SyncCounts};
pub(crate) use workload::Workload;

use super::{Sql, sql};

const LOCK_LEASE: Sql = sql!("lock_lease");
const LOCK_REQUEST: Sql = sql!("lock_request");
const FIND_SYNC_REQUEST: Sql = sql!("find_sync_request");
const INSERT_SYNC_REQUEST: Sql = sql!("insert_sync_request");
