//! The rows of a lease call: leases, their due refs, and the credentials that look those up.

use std::collections::HashMap;

use jiff::Timestamp;
use proto::sync::{
    BudgetKey, BudgetView, CheckState, Fence, GitAccountId, KnownPullRequest, Lease, LeasedRef,
    MergeState, PullRequest, RepositoryPath, Upstream,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::window::windows;
use crate::store::{
    StoreError,
    column::{Columns as _, Document},
};

/// Leases with what was due of them.
#[derive(Default)]
pub(crate) struct LeaseRows {
    pub(crate) budgets: Vec<LeasedBudget>,
    /// By budget, account, and lane.
    pub(crate) refs: Vec<LeasedRow>,
    pub(crate) credentials: Vec<SealedCredential>,
    /// How many of the budgets had a lease that ran out.
    pub(crate) expired: u64,
}

/// A live lease, still without its groups.
pub(crate) struct LeasedBudget {
    pub(crate) id: Uuid,
    pub(crate) lease: Lease,
}

/// A ref that is handed out.
pub(crate) struct LeasedRow {
    /// `None` when its account lost its credential since the refs were chosen.
    pub(crate) budget: Option<Uuid>,
    pub(crate) account: GitAccountId,
    pub(crate) provider_id: String,
    pub(crate) git_ref: LeasedRef,
}

/// A credential as it is stored.
pub(crate) struct SealedCredential {
    pub(crate) account: GitAccountId,
    pub(crate) generation: i64,
    pub(crate) key_id: String,
    pub(crate) sealed: Vec<u8>,
    pub(crate) suspect: bool,
    pub(crate) expires_at: Option<Timestamp>,
}

/// The refs to hand out.
#[derive(Default)]
pub(super) struct Choice {
    pub(super) refs: Vec<Uuid>,
    pub(super) accounts: Vec<Uuid>,
    /// Accounts that were looked at and of which nothing is due, with their budgets.
    pub(super) idle_accounts: Vec<(Uuid, Uuid)>,
    /// Accounts of which something is due, and whose tokens are to be renewed first.
    pub(super) expired_accounts: Vec<Uuid>,
    by_budget: HashMap<Uuid, i32>,
}

impl Choice {
    /// Adds the rows of `list_due_refs` or `list_early_refs`.
    pub(super) fn add(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        for row in rows {
            let (budget, account) = (row.get_as("budget_id")?, row.get_as("account_id")?);
            let Some(git_ref) = row.get_as("ref_id")? else {
                if row.get_as("expired")? {
                    self.expired_accounts.push(account);
                } else {
                    self.idle_accounts.push((budget, account));
                }
                continue;
            };
            self.refs.push(git_ref);
            self.accounts.push(account);
            *self.by_budget.entry(budget).or_default() += 1;
        }
        self.accounts.sort_unstable();
        self.accounts.dedup();
        Ok(())
    }

    pub(super) fn len(&self) -> i64 {
        i64::try_from(self.refs.len()).unwrap_or(i64::MAX)
    }

    /// How many of a budget.
    pub(super) fn of(&self, budget: Uuid) -> i32 {
        self.by_budget.get(&budget).copied().unwrap_or(0)
    }
}

impl LeaseRows {
    /// From the rows of `list_leased_budgets`, `list_leased_refs` and `read_credentials`.
    pub(super) fn read(
        budgets: &[Row],
        refs: &[Row],
        credentials: &[Row],
    ) -> Result<Self, StoreError> {
        Ok(Self {
            budgets: budgets.iter().map(budget).collect::<Result<_, _>>()?,
            refs: refs.iter().map(leased_row).collect::<Result<_, _>>()?,
            credentials: credentials
                .iter()
                .map(credential)
                .collect::<Result<_, _>>()?,
            expired: 0,
        })
    }
}

fn budget(row: &Row) -> Result<LeasedBudget, StoreError> {
    Ok(LeasedBudget {
        id: row.get_as("id")?,
        lease: Lease {
            token: row.get_as("lease_token")?,
            budget_key: BudgetKey(row.get_as("budget_key")?),
            expires_in: row.get_as("expires_seconds")?,
            groups: Vec::new(),
            budget: BudgetView {
                windows: windows(row)?,
                secondary_strikes: count(row, "strikes")?,
                cautious_for: row.get_as("cautious_seconds")?,
                demand: row.get_as("demand")?,
                account_known: row.get_as("account_known")?,
                resumes: row.get_as("resumes")?,
            },
        },
    })
}

fn leased_row(row: &Row) -> Result<LeasedRow, StoreError> {
    let repository: String = row.get_as("repository")?;
    let repository = RepositoryPath::parse(&repository)
        .ok_or_else(|| StoreError::bug("read a row", format!("{repository:?} is no repository")))?;
    let canonical: Option<String> = row.get_as("canonical_repository")?;
    let upstream: Option<String> = row.get_as("upstream_repository")?;
    Ok(LeasedRow {
        budget: row.get_as("budget_id")?,
        account: row.get_as("account_id")?,
        provider_id: row.get_as("provider_id")?,
        git_ref: LeasedRef {
            id: row.get_as("id")?,
            fence: Fence {
                report_seq: row.get_as("report_seq")?,
                looks: row.get_as("looks")?,
                generation: row.get_as("generation")?,
            },
            repository,
            branch: row.get_as("git_branch")?,
            commit: row.get_as("commit_sha")?,
            lane: row.get_as("lane")?,
            since_reported: row.get_as("reported_seconds")?,
            since_first_reported: row.get_as("first_reported_seconds")?,
            since_changed: row.get_as("changed_seconds")?,
            since_active: row.get_as("active_seconds")?,
            viewed: row.get_as("viewed")?,
            failures: count(row, "failures")?,
            misses: count(row, "misses")?,
            settled_count: count(row, "settled_count")?,
            unchanged_count: count(row, "unchanged_count")?,
            upstream: Upstream::from_text(upstream.as_deref()),
            canonical_repository: canonical.as_deref().and_then(RepositoryPath::parse),
            known: known(row)?,
            since_found: row.get_as("found_seconds")?,
            fingerprint: row.get_as("fingerprint")?,
            traceparent: row.get_as("traceparent")?,
            diff_wanted: row.get_as("diff_wanted")?,
        },
    })
}

/// The known pull request. One that a later release wrote in a way that this one cannot read is
/// looked for anew.
fn known(row: &Row) -> Result<Option<KnownPullRequest>, StoreError> {
    let shown: Option<Document<PullRequest>> = row.get_as("pull_request")?;
    let repository: Option<String> = row.get_as("pr_repository")?;
    let (Some(Document(Ok(shown))), Some(repository)) = (shown, repository) else {
        return Ok(None);
    };
    let checks = shown.head.checks.map(|checks| checks.state);
    Ok(Some(KnownPullRequest {
        repository,
        number: shown.number,
        state: shown.state,
        draft: shown.draft,
        host_id: row.get_as("pr_host_id")?,
        checks_pending: checks == Some(CheckState::Pending),
        merge_unknown: shown.head.merge_state == Some(MergeState::Unknown),
    }))
}

fn credential(row: &Row) -> Result<SealedCredential, StoreError> {
    Ok(SealedCredential {
        account: row.get_as("id")?,
        generation: row.get_as("generation")?,
        key_id: row.get_as("key_id")?,
        sealed: row.get_as("access_token_sealed")?,
        suspect: row.get_as("suspect")?,
        expires_at: row.get_as("expires_at")?,
    })
}

/// A count, which a CHECK keeps from being negative.
pub(super) fn count(row: &Row, name: &str) -> Result<u32, StoreError> {
    let count: i32 = row.get_as(name)?;
    Ok(u32::try_from(count).unwrap_or(0))
}
