//! Applying outcomes: outcomes, events, next due times, what was observed and the stored answer are
//! one transaction of three round trips. Its lease is proven by the lock of the budget, which comes
//! last and is held for one round trip; without it all is rolled back.
//!
//! A report that identifies the account of a token also names the budget for that account; if the
//! account has a budget already, the report moves this budget's accounts there and ends the lease,
//! so that the account has one spender.

mod batch;
mod row;

use std::time::Duration;

use proto::sync::{
    BudgetObservation, Finding, GitAccountId, Lane, OutcomeStatus, Pause, ProblemName as _, Report,
};
use tokio_postgres::Row;
use uuid::Uuid;

pub(crate) use self::batch::own_failure;
use self::{
    batch::{APPLY_OUTCOMES, Batch},
    row::credential_rows,
};
use super::{
    FIND_SYNC_REQUEST, INSERT_SYNC_REQUEST, LOCK_LEASE, LOCK_REQUEST, spread::Spread,
    window::observed,
};
use crate::error::chain;
use crate::store::{
    Sql, Store, StoreError,
    column::{Columns as _, column, first},
    due::{LOCK_ACCOUNTS, LOCK_BUDGETS, LOCK_POLLS, NONE, SETTLE_ACCOUNTS, SETTLE_BUDGETS, is_due},
    sql::{bind, sql},
    transaction::Tx,
};

const LIST_REF_ACCOUNTS: Sql = sql!("list_ref_accounts");
const FIND_SPENDER: Sql = sql!("find_spender");
const SUM_DEMAND: Sql = sql!("sum_demand");
const LOCK_OUTCOME_CHATS: Sql = sql!("lock_outcome_chats");
const OBSERVE_CREDENTIALS: Sql = sql!("observe_credentials");
const MOVE_ACCOUNTS: Sql = sql!("move_accounts");
const MOVE_TOKENS: Sql = sql!("move_tokens");
const OBSERVE_BUDGET: Sql = sql!("observe_budget");
const NAME_BUDGET: Sql = sql!("name_budget");
const RAISE_PAUSES: Sql = sql!("raise_pauses");
const RECORD_CHANGES: Sql = sql!("record_changes");

/// The result of a report.
pub(crate) enum ReportResult {
    /// It was applied now.
    Applied(ReportEffects),
    /// It was applied before, with this answer.
    Before(Vec<OutcomeStatus>),
    /// Nothing was applied.
    LeaseLost,
}

/// The effects of a report.
#[derive(Default)]
pub(crate) struct ReportEffects {
    /// In the order of the outcomes.
    pub(crate) statuses: Vec<OutcomeStatus>,
    /// A person has come to wait for a ref of the budget.
    pub(crate) awaited: bool,
    /// A reader sees something new.
    pub(crate) events: bool,
    /// Credentials that the host refused.
    pub(crate) refused: Vec<CredentialRefusal>,
    /// The state of some account's credential changed.
    pub(crate) accounts_changed: bool,
    /// The lease ended, since its accounts spend another budget now.
    pub(crate) moved: bool,
    /// The budget that was leased, and the one that its accounts have moved to.
    pub(crate) budgets: Vec<Uuid>,
    /// Whether to notify waiting lease calls.
    pub(crate) due: bool,
    /// How late outcomes that were applied are, by lane.
    pub(crate) lateness: Vec<(Lane, Duration)>,
    /// The effects on other refs.
    pub(crate) spread: Spread,
}

/// A refusal of a credential that counts.
pub(crate) struct CredentialRefusal {
    pub(crate) account: GitAccountId,
    /// The credential's state after the refusal.
    pub(crate) state: String,
    /// It had another state before.
    pub(crate) is_news: bool,
}

/// How outcomes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoreMode {
    /// In one statement.
    Together,
    /// Each in a statement of its own, since they cannot be stored together: one that fails is
    /// rejected.
    Singly,
}

impl Store {
    /// Applies a report under its lease.
    pub(crate) async fn report_outcomes(
        &self,
        report: &Report,
    ) -> Result<ReportResult, StoreError> {
        let storing = |storing| self.transaction(move |tx| apply(tx, report, storing));
        match storing(StoreMode::Together).await {
            Err(StoreError::Data { source }) => {
                let error = chain(&source);
                tracing::warn!(
                    error,
                    "a report cannot be stored as a whole; storing row by row"
                );
                storing(StoreMode::Singly).await
            }
            together => together,
        }
    }
}

async fn apply(tx: Tx, report: &Report, storing: StoreMode) -> Result<ReportResult, StoreError> {
    let (request, lease) = (report.request.0, report.lease.0);
    let refs: Vec<Uuid> = report.outcomes.iter().map(|of| of.git_ref.0).collect();
    let account_id = report.budget.as_ref();
    let account_id = account_id.and_then(|budget| budget.account_id.as_deref());
    let [_, before, demand, accounts, spender] = tx
        .pipeline([
            bind(LOCK_REQUEST, &[&request]),
            bind(FIND_SYNC_REQUEST, &[&request]),
            bind(SUM_DEMAND, &[&lease]),
            bind(LIST_REF_ACCOUNTS, &[&refs]),
            bind(FIND_SPENDER, &[&lease, &account_id]).only_if(account_id.is_some()),
        ])
        .await?;
    if let Some(row) = before.first() {
        return answered_before(row);
    }
    let demand: Option<f64> = first(&demand, "demand")?;
    let spender = spender.first();
    let mut accounts: Vec<Uuid> = column(&accounts, "account_id")?;
    accounts.extend(report.credentials.iter().map(|of| of.account.0));
    // The accounts of a token's budget are to spend the one that the host's account has already.
    let mut merge: Option<(Uuid, Uuid)> = None;
    if let Some(row) = spender
        && let Some(known) = row.get_as("known_id")?
    {
        merge = Some((row.get_as("id")?, known));
        accounts.extend(row.get_as::<Vec<Uuid>>("accounts")?);
    }

    let mut batch = Batch::of(report);
    let rows = batch.rows();
    let together = storing == StoreMode::Together;
    let mut polls = Vec::new();
    if !together {
        [_, polls, _] = tx
            .pipeline([
                bind(LOCK_OUTCOME_CHATS, &[&rows]),
                bind(LOCK_POLLS, &[&refs]),
                bind(LOCK_ACCOUNTS, &[&accounts]),
            ])
            .await?;
        batch.store_singly(&tx, report).await?;
    }
    let any = !report.outcomes.is_empty();
    let observed_credentials = credential_rows(&report.credentials);
    let merging = merge.is_some();
    let (from, to) = merge.unwrap_or_default();
    let [_, found, _, effects, changed, _, _, _, _, locked] = tx
        .pipeline([
            bind(LOCK_OUTCOME_CHATS, &[&rows]).only_if(together && any),
            bind(LOCK_POLLS, &[&refs]).only_if(together && any),
            bind(LOCK_ACCOUNTS, &[&accounts]).only_if(together),
            bind(APPLY_OUTCOMES, &[&lease, &rows]).only_if(together && any),
            bind(OBSERVE_CREDENTIALS, &[&lease, &observed_credentials])
                .only_if(!report.credentials.is_empty()),
            bind(MOVE_ACCOUNTS, &[&from, &to, &accounts]).only_if(merging),
            bind(MOVE_TOKENS, &[&from, &to]).only_if(merging),
            bind(SETTLE_ACCOUNTS, &[&accounts]),
            bind(LOCK_BUDGETS, &[&[from, to].as_slice(), &NONE]).only_if(merging),
            bind(LOCK_LEASE, &[&lease, &false]),
        ])
        .await?;
    let Some(locked) = locked.first() else {
        return Ok(ReportResult::LeaseLost);
    };
    batch.take(&effects)?;
    polls.extend(found);
    let statuses = batch.statuses(report, &column(&polls, "ref_id")?);
    let budget: Uuid = locked.get_as("id")?;
    let changes: Vec<bool> = column(&changed, "changed")?;
    let mut applied = ReportEffects {
        awaited: locked.get_as("awaited")?,
        events: false,
        refused: refused(&changed)?,
        accounts_changed: changes.contains(&true),
        moved: merging,
        budgets: std::iter::once(budget)
            .chain(merge.map(|(_, to)| to))
            .collect(),
        due: false,
        lateness: batch.lateness,
        spread: Spread {
            leased_at: locked.get_as("leased_at")?,
            of_repository: repository_wide(report, &statuses),
            healed: batch.healed,
            seen_to_change: batch.seen_to_change,
            found_another: batch.found_another,
        },
        statuses,
    };

    let BudgetObservation {
        account_id: _,
        windows,
        pause,
        rest,
        secondary_refusals,
        resumes: _,
    } = observation(report, locked.get_as("resumes")?);
    let (pause, rest) = (PauseColumns::of(pause), PauseColumns::of(rest));
    let refusals = i32::try_from(secondary_refusals).unwrap_or(i32::MAX);
    let letters = applied.statuses.iter().flat_map(letter);
    let answer: String = letters.collect();
    let leased: Option<Vec<Uuid>> = None;
    let ends = report.release_lease || merging;
    let [recorded, _, _, _, ended, joined, _] = tx
        .commit_after([
            bind(
                RECORD_CHANGES,
                &[&batch.needing, &batch.new_heads, &batch.news],
            )
            .only_if(!batch.needing.is_empty() || !batch.news.is_empty()),
            bind(
                OBSERVE_BUDGET,
                &[
                    &budget,
                    &batch.stored,
                    &observed(&windows),
                    &pause.seconds,
                    &pause.class,
                    &pause.lane,
                    &rest.seconds,
                    &rest.class,
                    &rest.lane,
                    &refusals,
                    &demand,
                ],
            ),
            bind(NAME_BUDGET, &[&budget, &account_id]).only_if(spender.is_some() && !merging),
            bind(RAISE_PAUSES, &[&from, &to]).only_if(merging),
            bind(SETTLE_BUDGETS, &[&[budget].as_slice(), &true, &NONE]).only_if(ends),
            bind(SETTLE_BUDGETS, &[&[to].as_slice(), &false, &NONE]).only_if(merging),
            bind(INSERT_SYNC_REQUEST, &[&request, &leased, &answer]),
        ])
        .await?;
    applied.events = !recorded.is_empty();
    applied.due = is_due(&ended)? || is_due(&joined)?;
    Ok(ReportResult::Applied(applied))
}

/// Refs whose failure is their whole repository's.
fn repository_wide(report: &Report, statuses: &[OutcomeStatus]) -> Vec<Uuid> {
    let outcomes = report.outcomes.iter().zip(statuses);
    outcomes
        .filter(|(outcome, status)| {
            let wide = matches!(
                outcome.finding,
                Finding::Failed {
                    repository_wide: true,
                    ..
                }
            );
            wide && **status == OutcomeStatus::Applied
        })
        .map(|(outcome, _)| outcome.git_ref.0)
        .collect()
}

/// The refused credentials among the rows of `observe_credentials`.
fn refused(rows: &[Row]) -> Result<Vec<CredentialRefusal>, StoreError> {
    let mut refused = Vec::new();
    for row in rows {
        if row.get_as("refused")? {
            refused.push(CredentialRefusal {
                account: row.get_as("id")?,
                state: row.get_as("credential_state")?,
                is_news: row.get_as("changed")?,
            });
        }
    }
    Ok(refused)
}

/// What a report says of its budget, which an operator has resumed `resumes` times. Of a lease that
/// began before the last time, only the account and the secondary limits are taken.
fn observation(report: &Report, resumes: i64) -> BudgetObservation {
    let observed = report.budget.clone().unwrap_or_default();
    if observed.resumes >= resumes {
        return observed;
    }
    BudgetObservation {
        windows: Vec::new(),
        pause: None,
        rest: None,
        ..observed
    }
}

/// A pause as `observe_budget.sql` takes it.
struct PauseColumns {
    seconds: Option<f64>,
    class: Option<&'static str>,
    lane: Option<i16>,
}

impl PauseColumns {
    fn of(pause: Option<Pause>) -> Self {
        Self {
            seconds: pause.map(|pause| pause.duration.as_secs_f64()),
            class: pause.map(|pause| pause.class.name()),
            lane: pause.map(|pause| pause.from_lane.number()),
        }
    }
}

/// An outcome's status as a stored answer has it: the first letter of its name, unlike any other's.
fn letter(status: &OutcomeStatus) -> Option<char> {
    status.name().chars().next()
}

/// The answer that a report had when it was applied.
fn answered_before(row: &Row) -> Result<ReportResult, StoreError> {
    let answer: Option<String> = row.get_as("answer")?;
    let answer = answer.ok_or(StoreError::OtherKind)?;
    let status = |of: char| {
        let mut all = OutcomeStatus::ALL.iter().copied();
        all.find(|status| status.name().starts_with(of))
    };
    let statuses = answer.chars().map(status).collect::<Option<_>>();
    statuses
        .map(ReportResult::Before)
        .ok_or_else(|| StoreError::bug("repeat a report", "its answer cannot be read"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_status_of_an_outcome_has_a_first_letter_of_its_own() {
        let letters: BTreeSet<_> = OutcomeStatus::ALL.iter().map(letter).collect();
        assert_eq!(letters.len(), OutcomeStatus::ALL.len());
        assert!(!letters.contains(&None));
    }
}
