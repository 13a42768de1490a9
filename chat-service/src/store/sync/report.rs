//! Applying outcomes: lease check, outcomes, events, next due times and the stored answer are one
//! transaction.

mod observe;
mod row;

use std::{collections::HashMap, time::Duration};

use deadpool_postgres::{GenericClient, Transaction};
use serde_json::{Value, json};
use uuid::Uuid;

use self::{
    observe::{observe_budget, observe_credentials},
    row::row,
};
use super::{FIND_SYNC_REQUEST, INSERT_SYNC_REQUEST, RELEASE_REFS, REPORT, spread::Spread};
use crate::{
    diff_status::ProblemClass,
    id::LeaseToken,
    store::{
        Sql, Store, StoreError, query, sql,
        transaction::{retrying, settle_budgets},
    },
    sync::outcome::{Found, Outcome, OutcomeStatus, Report},
};

const LOCK_LEASE: Sql = sql!("lock_lease");
const APPLY_OUTCOMES: Sql = sql!("apply_outcomes");
const LOCK_REFS: Sql = sql!("lock_refs");
const ANSWER_SYNC_REQUEST: Sql = sql!("answer_sync_request");

/// How long a ref waits whose outcome could not be stored: the next one is likely the same.
const REJECTED_BACKOFF: Duration = Duration::from_secs(120);

/// What came of a report.
pub(crate) enum Reported {
    /// It was applied now.
    Applied(Applied),
    /// It was applied before, with this answer.
    Before(Vec<OutcomeStatus>),
    /// Nothing was applied.
    LeaseLost,
    /// The request id was a lease's.
    OtherKind,
}

/// What a report did.
pub(crate) struct Applied {
    /// In the order of the outcomes.
    pub(crate) statuses: Vec<OutcomeStatus>,
    /// Some reader sees something new.
    pub(crate) events: bool,
    /// What it means for other refs.
    pub(crate) spread: Spread,
}

impl Store {
    /// Applies a report under its lease.
    pub(crate) async fn report_outcomes(&self, report: &Report) -> Result<Reported, StoreError> {
        retrying(|| self.report_once(report)).await
    }

    async fn report_once(&self, report: &Report) -> Result<Reported, StoreError> {
        let mut client = self.client().await?;
        let mut transaction = client.transaction().await.map_err(StoreError::from_read)?;
        let noted = query(
            &transaction,
            INSERT_SYNC_REQUEST.text,
            &[&report.request.0, &REPORT],
        )
        .await
        .map_err(StoreError::from_write)?;
        if noted.is_empty() {
            return answer_before(&transaction, report).await;
        }
        let locked = query(&transaction, LOCK_LEASE.text, &[&report.lease.0])
            .await
            .map_err(StoreError::from_read)?;
        let Some(row) = locked.first() else {
            return Ok(Reported::LeaseLost);
        };
        let budget: Uuid = row.try_get("id").map_err(StoreError::row)?;
        let mut applied = apply_all(&mut transaction, report).await?;
        applied.spread.budget = budget;
        applied.spread.refused =
            observe_credentials(&transaction, budget, &report.credentials).await?;
        if let Some(observation) = &report.budget {
            observe_budget(&transaction, budget, observation).await?;
        }
        if report.release_lease {
            query(&transaction, RELEASE_REFS.text, &[&report.lease.0])
                .await
                .map_err(StoreError::from_write)?;
        }
        settle_budgets(&transaction, &[budget], report.release_lease).await?;
        let answer: Value = applied
            .statuses
            .iter()
            .map(|status| status.name())
            .collect();
        query(
            &transaction,
            ANSWER_SYNC_REQUEST.text,
            &[&report.request.0, &answer],
        )
        .await
        .map_err(StoreError::from_write)?;
        transaction.commit().await.map_err(StoreError::from_write)?;
        Ok(Reported::Applied(applied))
    }
}

async fn answer_before(
    client: &impl GenericClient,
    report: &Report,
) -> Result<Reported, StoreError> {
    let rows = query(client, FIND_SYNC_REQUEST.text, &[&report.request.0])
        .await
        .map_err(StoreError::from_read)?;
    let Some(row) = rows.first() else {
        return Err(StoreError::bug("repeat a report", "the request was pruned"));
    };
    let kind: &str = row.try_get("kind").map_err(StoreError::row)?;
    if kind != REPORT {
        return Ok(Reported::OtherKind);
    }
    let answer: Option<Value> = row.try_get("answer").map_err(StoreError::row)?;
    let statuses = answer
        .as_ref()
        .and_then(Value::as_array)
        .and_then(|names| {
            names
                .iter()
                .map(|name| name.as_str().and_then(OutcomeStatus::parse))
                .collect::<Option<Vec<_>>>()
        })
        .ok_or_else(|| StoreError::bug("repeat a report", "its answer cannot be read"))?;
    Ok(Reported::Before(statuses))
}

/// Applies all outcomes in one statement. Only if that fails because of some row's data, each has a
/// statement of its own, and one that fails is rejected.
async fn apply_all(
    transaction: &mut Transaction<'_>,
    report: &Report,
) -> Result<Applied, StoreError> {
    let mut batch = Batch::default();
    for outcome in &report.outcomes {
        match outcome.clone().fitted() {
            Some(fitted) => batch.rows.push(row(&fitted)),
            None => batch.rejected.push(outcome),
        }
    }
    let savepoint = transaction
        .savepoint("all_outcomes")
        .await
        .map_err(StoreError::from_write)?;
    match apply(&savepoint, report.lease, &batch.rows).await {
        Ok(effects) => {
            savepoint.commit().await.map_err(StoreError::from_write)?;
            batch.take(effects);
        }
        Err(ApplyError::Data(error)) => {
            savepoint.rollback().await.map_err(StoreError::from_write)?;
            tracing::warn!(%error, "a report cannot be stored as a whole; storing row by row");
            // One statement locks refs in the order of their ids, many do not.
            let ids: Vec<Uuid> = report.outcomes.iter().map(|of| of.git_ref.0).collect();
            query(transaction, LOCK_REFS.text, &[&ids])
                .await
                .map_err(StoreError::from_write)?;
            let fitted = std::mem::take(&mut batch.rows);
            for row in fitted {
                apply_one(transaction, report, row, &mut batch).await?;
            }
        }
        Err(ApplyError::Store(error)) => return Err(error),
    }
    let baseless = report.outcomes.iter().filter(|outcome| {
        matches!(outcome.result, Found::Unchanged)
            && !batch.statuses.contains_key(&outcome.git_ref.0)
            && !batch
                .rejected
                .iter()
                .any(|of| of.git_ref == outcome.git_ref)
    });
    let baseless: Vec<&Outcome> = baseless.collect();
    batch.rejected.extend(baseless);
    // A ref whose outcome cannot be stored would be leased again at once, for ever; and somebody may
    // be waiting for it. It had an outcome, too: our own failure.
    let failures: Vec<Value> = batch
        .rejected
        .iter()
        .map(|outcome| {
            row(&Outcome::failed(
                outcome.git_ref,
                outcome.report_seq,
                ProblemClass::Internal,
                REJECTED_BACKOFF,
            ))
        })
        .collect();
    if !failures.is_empty() {
        match apply(transaction, report.lease, &failures).await {
            Ok(effects) => batch.events |= effects.iter().any(|effect| effect.events),
            Err(ApplyError::Data(error)) => {
                return Err(StoreError::bug("store a failure", error));
            }
            Err(ApplyError::Store(error)) => return Err(error),
        }
    }
    let statuses = report
        .outcomes
        .iter()
        .map(|outcome| {
            batch
                .statuses
                .get(&outcome.git_ref.0)
                .copied()
                .unwrap_or(OutcomeStatus::Rejected)
        })
        .collect();
    let of_repository = report.outcomes.iter().filter(|outcome| {
        let Found::Failed { of_repository, .. } = &outcome.result else {
            return false;
        };
        let status = batch.statuses.get(&outcome.git_ref.0);
        *of_repository && status == Some(&OutcomeStatus::Applied)
    });
    let spread = Spread {
        of_repository: of_repository.map(|outcome| outcome.git_ref.0).collect(),
        seen_to_change: batch.seen_to_change,
        ..Spread::default()
    };
    Ok(Applied {
        statuses,
        events: batch.events,
        spread,
    })
}

async fn apply_one<'report>(
    transaction: &mut Transaction<'_>,
    report: &'report Report,
    row: Value,
    batch: &mut Batch<'report>,
) -> Result<(), StoreError> {
    let savepoint = transaction
        .savepoint("one_outcome")
        .await
        .map_err(StoreError::from_write)?;
    let id = row.get("id").cloned();
    match apply(&savepoint, report.lease, &[row]).await {
        Ok(effects) => {
            savepoint.commit().await.map_err(StoreError::from_write)?;
            batch.take(effects);
        }
        Err(ApplyError::Data(error)) => {
            savepoint.rollback().await.map_err(StoreError::from_write)?;
            let outcome = report
                .outcomes
                .iter()
                .find(|outcome| Some(json!(outcome.git_ref.0)) == id);
            if let Some(outcome) = outcome {
                tracing::error!(git_ref.id = %outcome.git_ref, %error, "an outcome cannot be stored");
                batch.rejected.push(outcome);
            }
        }
        Err(ApplyError::Store(error)) => return Err(error),
    }
    Ok(())
}

/// The outcomes of a report on their way.
#[derive(Default)]
struct Batch<'report> {
    rows: Vec<Value>,
    rejected: Vec<&'report Outcome>,
    statuses: HashMap<Uuid, OutcomeStatus>,
    seen_to_change: Vec<Uuid>,
    events: bool,
}

impl Batch<'_> {
    fn take(&mut self, effects: Vec<Effect>) {
        for Effect {
            id,
            current,
            seen_to_change,
            events,
        } in effects
        {
            let status = if current {
                OutcomeStatus::Applied
            } else {
                OutcomeStatus::Superseded
            };
            self.statuses.insert(id, status);
            self.events |= events;
            if seen_to_change {
                self.seen_to_change.push(id);
            }
        }
    }
}

/// What an outcome did to its ref.
struct Effect {
    id: Uuid,
    current: bool,
    /// Its pull request is not as it was known.
    seen_to_change: bool,
    events: bool,
}

enum ApplyError {
    /// Some row's data.
    Data(tokio_postgres::Error),
    Store(StoreError),
}

async fn apply(
    client: &impl GenericClient,
    lease: LeaseToken,
    rows: &[Value],
) -> Result<Vec<Effect>, ApplyError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let rows = Value::Array(rows.to_vec());
    let applied = query(client, APPLY_OUTCOMES.text, &[&lease.0, &rows])
        .await
        .map_err(|error| {
            if is_about_data(&error) {
                ApplyError::Data(error)
            } else {
                ApplyError::Store(StoreError::from_write(error))
            }
        })?;
    applied
        .iter()
        .map(|row| {
            Ok(Effect {
                id: row.try_get("id")?,
                current: row.try_get("current")?,
                seen_to_change: row.try_get("seen_to_change")?,
                events: row.try_get("events")?,
            })
        })
        .collect::<Result<_, _>>()
        .map_err(|error| ApplyError::Store(StoreError::row(error)))
}

/// Data exceptions (22) and violated constraints (23): another row may well be fine.
fn is_about_data(error: &tokio_postgres::Error) -> bool {
    let class = error.code().and_then(|state| state.code().get(..2));
    matches!(class, Some("22" | "23"))
}
