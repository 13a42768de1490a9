//! Taking the diff of a ref from the worker that leases it.

use std::time::Duration;

use proto::sync::{Diff, DiffReport, DiffResult, ProblemName as _};
use uuid::Uuid;

use super::LOCK_LEASE;
use crate::store::{
    Sql, Store, StoreError,
    column::first,
    due::LOCK_POLLS,
    sql::{bind, sql},
    transaction::Tx,
};

const STORE_DIFF: Sql = sql!("store_diff");
const EVICT_DIFFS: Sql = sql!("evict_diffs");

/// A diff is given to those who ask for this long, without asking the host again.
const GIVEN_FOR: Duration = Duration::from_secs(60);
/// A failure is given for this long: to those who waited together, and who try again at once.
const FAILURE_GIVEN_FOR: Duration = Duration::from_secs(5);
/// Answers of one account that are kept at most, and the bytes of their diffs: eight of the
/// largest.
const MAX_KEPT: i64 = 20;
const MAX_KEPT_BYTES: i64 = 32 * 1024 * 1024;

/// What came of the report of a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiffReportResult {
    /// Those who wait for this budget are to be notified.
    Stored { budget: Uuid },
    /// It is not wanted any more, or not of the ref as it is now.
    NotWanted,
    /// Nothing was stored.
    LeaseLost,
}

impl Store {
    /// Stores a diff under its lease.
    pub(crate) async fn report_diff(
        &self,
        report: &DiffReport,
    ) -> Result<DiffReportResult, StoreError> {
        self.transaction(|tx| store(tx, report)).await
    }
}

async fn store(tx: Tx, report: &DiffReport) -> Result<DiffReportResult, StoreError> {
    let (lease, git_ref, fence) = (report.lease.0, report.git_ref.0, report.fence);
    let refs = [git_ref];
    let DiffColumns {
        result,
        class,
        retry_seconds,
        diff,
    } = DiffColumns::of(&report.result);
    let content = diff.map(|diff| diff.content.as_ref());
    let pr_number = diff.and_then(|diff| diff.pr_number);
    let base_branch = diff.and_then(|diff| diff.base_branch.as_deref());
    let head_sha = diff.and_then(|diff| diff.head_sha.as_deref());
    let given_for = match report.result {
        DiffResult::Found(_) | DiffResult::TooLarge => GIVEN_FOR,
        DiffResult::Missing | DiffResult::Failed { .. } => FAILURE_GIVEN_FOR,
    };
    let [_, stored, _, locked] = tx
        .pipeline([
            bind(LOCK_POLLS, &[&refs.as_slice()]),
            bind(
                STORE_DIFF,
                &[
                    &lease,
                    &git_ref,
                    &fence.report_seq,
                    &fence.looks,
                    &fence.generation,
                    &result,
                    &class,
                    &retry_seconds,
                    &pr_number,
                    &base_branch,
                    &head_sha,
                    &content,
                    &given_for.as_secs_f64(),
                ],
            ),
            bind(EVICT_DIFFS, &[&git_ref, &MAX_KEPT, &MAX_KEPT_BYTES]),
            bind(LOCK_LEASE, &[&lease, &false]),
        ])
        .await?;
    let Some(budget) = first(&locked, "id")? else {
        return Ok(DiffReportResult::LeaseLost);
    };
    if stored.is_empty() {
        return Ok(DiffReportResult::NotWanted);
    }
    tx.commit().await?;
    Ok(DiffReportResult::Stored { budget })
}

/// A result as `store_diff.sql` takes it.
struct DiffColumns<'a> {
    result: &'static str,
    class: Option<&'static str>,
    retry_seconds: Option<f64>,
    diff: Option<&'a Diff>,
}

impl<'a> DiffColumns<'a> {
    fn of(result: &'a DiffResult) -> Self {
        let columns = |result| Self {
            result,
            class: None,
            retry_seconds: None,
            diff: None,
        };
        match result {
            DiffResult::Found(diff) => Self {
                diff: Some(diff),
                ..columns("found")
            },
            DiffResult::TooLarge => columns("too_large"),
            DiffResult::Missing => columns("missing"),
            DiffResult::Failed { class, retry_after } => Self {
                class: Some(class.name()),
                retry_seconds: retry_after.map(|after| after.as_secs_f64()),
                ..columns("failed")
            },
        }
    }
}
