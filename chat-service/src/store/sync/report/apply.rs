//! Outcomes into the table: all in one statement, or, where that fails because of some row's data, each in
//! one of its own, so that one bad row never costs another.

use std::{collections::HashMap, time::Duration};

use deadpool_postgres::{GenericClient, Transaction};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Applied, row::row};
use crate::{
    diff_status::ProblemClass,
    id::LeaseToken,
    store::{Sql, StoreError, query, sql, sync::spread::Spread},
    sync::outcome::{Found, Outcome, OutcomeStatus, Report},
};

const APPLY_OUTCOMES: Sql = sql!("apply_outcomes");
const LOCK_REFS: Sql = sql!("lock_refs");

/// How long a ref waits whose outcome could not be stored: the next one is likely the same.
const REJECTED_BACKOFF: Duration = Duration::from_secs(120);

/// How outcomes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storing {
    /// In one statement.
    Together,
    /// Each in a statement of its own, since they cannot be stored together: one that fails is rejected.
    Singly,
}

/// Applies all outcomes.
pub(super) async fn apply_all(
    transaction: &mut Transaction<'_>,
    report: &Report,
    storing: Storing,
) -> Result<Applied, ApplyError> {
    let mut batch = Batch::default();
    let mut rows = Vec::with_capacity(report.outcomes.len());
    for outcome in &report.outcomes {
        match outcome.clone().fitted() {
            Some(fitted) => rows.push(row(&fitted)),
            None => batch.rejected.push(outcome),
        }
    }
    match storing {
        Storing::Together => batch.take(apply(transaction, report.lease, rows).await?),
        Storing::Singly => apply_singly(transaction, report, rows, &mut batch).await?,
    }
    fail_rejected(transaction, report, &mut batch).await?;
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

/// A ref whose outcome cannot be stored would be leased again at once, for ever; and somebody may be
/// waiting for it. It had an outcome, too: our own failure.
async fn fail_rejected<'report>(
    client: &impl GenericClient,
    report: &'report Report,
    batch: &mut Batch<'report>,
) -> Result<(), StoreError> {
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
    match apply(client, report.lease, failures).await {
        Ok(effects) => batch.events |= effects.iter().any(|effect| effect.events),
        Err(ApplyError::Data(error)) => return Err(StoreError::bug("store a failure", error)),
        Err(ApplyError::Store(error)) => return Err(error),
    }
    Ok(())
}

async fn apply_singly<'report>(
    transaction: &mut Transaction<'_>,
    report: &'report Report,
    rows: Vec<Value>,
    batch: &mut Batch<'report>,
) -> Result<(), StoreError> {
    // One statement locks refs in the order of their ids, many do not.
    let ids: Vec<Uuid> = report.outcomes.iter().map(|of| of.git_ref.0).collect();
    query(transaction, LOCK_REFS.text, &[&ids])
        .await
        .map_err(StoreError::from_write)?;
    for row in rows {
        apply_one(transaction, report, row, batch).await?;
    }
    Ok(())
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
    match apply(&savepoint, report.lease, vec![row]).await {
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

/// Why outcomes were not applied.
pub(super) enum ApplyError {
    /// Some row's data. The transaction, or its savepoint, is to be rolled back.
    Data(tokio_postgres::Error),
    Store(StoreError),
}

impl From<StoreError> for ApplyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn apply(
    client: &impl GenericClient,
    lease: LeaseToken,
    rows: Vec<Value>,
) -> Result<Vec<Effect>, ApplyError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let rows = Value::Array(rows);
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
