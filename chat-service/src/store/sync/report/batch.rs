//! The outcomes of a report on their way into the database.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use proto::sync::{
    Fence, Finding, GitRefId, Lane, Learned, Next, Outcome, OutcomeStatus, ProblemClass, Report,
};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::row::outcome_row;
use crate::error::chain;
use crate::store::{Sql, StoreError, column::Columns as _, sql::sql, transaction::Tx};

pub(super) const APPLY_OUTCOMES: Sql = sql!("apply_outcomes");

/// How long a ref waits that failed here: the next outcome is likely the same.
const OWN_FAILURE_BACKOFF: Duration = Duration::from_secs(120);
/// How long a ref waits whose provider is not configured: only an operator can change that, and
/// there may be very many such refs.
const NOT_CONFIGURED_BACKOFF: Duration = Duration::from_secs(60 * 60);

/// The outcomes of a report on their way.
pub(super) struct Batch {
    /// The rows to store: each outcome, or our own failure if it does not fit. A ref without an
    /// outcome would be leased again at once, for ever, and a person may be waiting for it.
    rows: Vec<Value>,
    /// Refs whose own outcome does not fit.
    unfit: HashSet<Uuid>,
    effects: HashMap<Uuid, OutcomeStatus>,
    /// Outcomes that were stored.
    pub(super) stored: i32,
    pub(super) seen_to_change: Vec<Uuid>,
    pub(super) found_another: Vec<Uuid>,
    pub(super) healed: Vec<Uuid>,
    /// Those that readers are shown differently.
    pub(super) news: Vec<Uuid>,
    /// Those that need attention, and of these the ones whose head was not known before.
    pub(super) needing: Vec<Uuid>,
    pub(super) new_heads: Vec<Uuid>,
    /// How long after they were due refs have their outcomes, by the lane in which they were.
    pub(super) lateness: Vec<(Lane, Duration)>,
}

impl Batch {
    pub(super) fn of(report: &Report) -> Self {
        let mut unfit = HashSet::new();
        let rows = report
            .outcomes
            .iter()
            .map(|outcome| match outcome.clone().fitted() {
                Some(fitted) => outcome_row(&fitted),
                None => {
                    unfit.insert(outcome.git_ref.0);
                    outcome_row(&failure(outcome))
                }
            });
        Self {
            rows: rows.collect(),
            unfit,
            effects: HashMap::new(),
            stored: 0,
            seen_to_change: Vec::new(),
            found_another: Vec::new(),
            healed: Vec::new(),
            news: Vec::new(),
            needing: Vec::new(),
            new_heads: Vec::new(),
            lateness: Vec::new(),
        }
    }

    pub(super) fn rows(&self) -> Value {
        Value::Array(self.rows.clone())
    }

    /// Stores each outcome in a statement of its own. The refs are locked, in the order of their
    /// ids.
    pub(super) async fn store_singly(
        &mut self,
        tx: &Tx,
        report: &Report,
    ) -> Result<(), StoreError> {
        let lease = report.lease.0;
        for (outcome, row) in report.outcomes.iter().zip(self.rows.clone()) {
            let rows = Value::Array(vec![row]);
            let effects = match tx.query_alone(APPLY_OUTCOMES, &[&lease, &rows]).await {
                Err(StoreError::Data { source }) => {
                    let error = chain(&source);
                    tracing::error!(git_ref.id = %outcome.git_ref, error, "an outcome cannot be stored");
                    self.unfit.insert(outcome.git_ref.0);
                    let rows = Value::Array(vec![outcome_row(&failure(outcome))]);
                    tx.query_alone(APPLY_OUTCOMES, &[&lease, &rows]).await?
                }
                effects => effects?,
            };
            self.take(&effects)?;
        }
        Ok(())
    }

    /// Notes what the rows of `apply_outcomes` say.
    pub(super) fn take(&mut self, effects: &[Row]) -> Result<(), StoreError> {
        for row in effects {
            let id: Uuid = row.get_as("id")?;
            let status: String = row.get_as("status")?;
            let status = OutcomeStatus::from_name(&status)
                .filter(|_| !self.unfit.contains(&id))
                .unwrap_or(OutcomeStatus::Rejected);
            self.effects.insert(id, status);
            if let Some(late) = row.get_as("late_seconds")? {
                self.lateness.push((row.get_as("due_lane")?, late));
            }
            self.stored += 1;
            if row.get_as("is_news")? {
                self.news.push(id);
            }
            if row.get_as::<i16>("attention")? > 0 {
                self.needing.push(id);
                if row.get_as("is_new_head")? {
                    self.new_heads.push(id);
                }
            }
            if row.get_as("seen_to_change")? {
                self.seen_to_change.push(id);
            }
            if row.get_as("is_another")? {
                self.found_another.push(id);
            }
            if row.get_as("is_healed")? {
                self.healed.push(id);
            }
        }
        Ok(())
    }

    /// The status of each outcome, where `present` are the refs that there are, in the order of
    /// their ids. One that was deleted since it was handed out has nothing to store.
    pub(super) fn statuses(&self, report: &Report, present: &[Uuid]) -> Vec<OutcomeStatus> {
        let status = |outcome: &Outcome| {
            let id = outcome.git_ref.0;
            let stored = self.effects.get(&id).copied();
            stored.unwrap_or_else(|| match present.binary_search(&id) {
                Ok(_) => OutcomeStatus::Rejected,
                Err(_) => OutcomeStatus::Superseded,
            })
        };
        report.outcomes.iter().map(status).collect()
    }
}

/// A failure of our own in place of an outcome: it does not fit, or was not to be had.
pub(crate) fn own_failure(git_ref: GitRefId, fence: Fence, class: ProblemClass) -> Outcome {
    Outcome {
        git_ref,
        fence,
        finding: Finding::Failed {
            class,
            repository_wide: false,
        },
        next: Next {
            refresh_in: Some(if class == ProblemClass::ProviderUnsupported {
                NOT_CONFIGURED_BACKOFF
            } else {
                OWN_FAILURE_BACKOFF
            }),
            lane: Lane::Idle,
            base: None,
        },
        learned: Learned::default(),
    }
}

/// In place of this outcome.
fn failure(outcome: &Outcome) -> Outcome {
    own_failure(outcome.git_ref, outcome.fence, ProblemClass::Internal)
}
