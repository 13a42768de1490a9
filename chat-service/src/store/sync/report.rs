//! Applying outcomes: lease check, outcomes, events, next due times and the stored answer are one
//! transaction, in few round trips: what does not wait for an answer is sent together.

mod apply;
mod observe;
mod row;

use deadpool_postgres::GenericClient;
use futures_util::future::{try_join, try_join4};
use serde_json::Value;
use uuid::Uuid;

use self::{
    apply::{ApplyError, Storing, apply_all},
    observe::{OBSERVE_BUDGET, observe_budget, observe_credentials},
};
use super::{FIND_SYNC_REQUEST, INSERT_SYNC_REQUEST, RELEASE_REFS, REPORT, spread::Spread};
use crate::{
    store::{
        Sql, Store, StoreError,
        budgets::{SETTLE_BUDGETS, retrying, settle_budgets},
        prepare, query, sql,
    },
    sync::outcome::{OutcomeStatus, Report},
};

const LOCK_LEASE: Sql = sql!("lock_lease");
const ANSWER_SYNC_REQUEST: Sql = sql!("answer_sync_request");

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

/// What came of one attempt to apply a report.
enum Attempt {
    Done(Reported),
    /// Some outcome's data cannot be stored, and so nothing was.
    Unfit(tokio_postgres::Error),
}

impl Store {
    /// Applies a report under its lease.
    pub(crate) async fn report_outcomes(&self, report: &Report) -> Result<Reported, StoreError> {
        let together = retrying(|| self.attempt(report, Storing::Together)).await?;
        let error = match together {
            Attempt::Done(reported) => return Ok(reported),
            Attempt::Unfit(error) => error,
        };
        tracing::warn!(%error, "a report cannot be stored as a whole; storing row by row");
        match retrying(|| self.attempt(report, Storing::Singly)).await? {
            Attempt::Done(reported) => Ok(reported),
            Attempt::Unfit(error) => Err(StoreError::bug("store a failure", error)),
        }
    }

    async fn attempt(&self, report: &Report, storing: Storing) -> Result<Attempt, StoreError> {
        let mut client = self.client().await?;
        let mut transaction = client.transaction().await.map_err(StoreError::from_read)?;
        // The lease is locked second: a repeated call waits for the first, and not for its lock.
        prepare(&transaction, &[INSERT_SYNC_REQUEST, LOCK_LEASE]).await?;
        let request: [_; 2] = [&report.request.0 as _, &REPORT as _];
        let lease: [_; 1] = [&report.lease.0 as _];
        let (noted, locked) = try_join(
            query(&transaction, INSERT_SYNC_REQUEST.text, &request),
            query(&transaction, LOCK_LEASE.text, &lease),
        )
        .await
        .map_err(StoreError::from_write)?;
        if noted.is_empty() {
            return answer_before(&transaction, report).await.map(Attempt::Done);
        }
        let Some(row) = locked.first() else {
            return Ok(Attempt::Done(Reported::LeaseLost));
        };
        let budget: Uuid = row.try_get("id").map_err(StoreError::row)?;
        let mut applied = match apply_all(&mut transaction, report, storing).await {
            Ok(applied) => applied,
            Err(ApplyError::Data(unfit)) => return Ok(Attempt::Unfit(unfit)),
            Err(ApplyError::Store(error)) => return Err(error),
        };
        applied.spread.budget = budget;
        applied.spread.leased_at = row.try_get("leased_at").map_err(StoreError::row)?;
        applied.spread.refused =
            observe_credentials(&transaction, budget, &report.credentials).await?;
        conclude(&transaction, budget, report, &applied.statuses).await?;
        transaction.commit().await.map_err(StoreError::from_write)?;
        Ok(Attempt::Done(Reported::Applied(applied)))
    }
}

/// What is left to do once the outcomes are applied.
async fn conclude(
    client: &impl GenericClient,
    budget: Uuid,
    report: &Report,
    statuses: &[OutcomeStatus],
) -> Result<(), StoreError> {
    let answer: Value = statuses.iter().map(|status| status.name()).collect();
    let observing = async {
        match &report.budget {
            Some(observation) => observe_budget(client, budget, observation).await,
            None => Ok(()),
        }
    };
    let releasing = async {
        if report.release_lease {
            query(client, RELEASE_REFS.text, &[&report.lease.0])
                .await
                .map_err(StoreError::from_write)?;
        }
        Ok(())
    };
    let budgets = [budget];
    let settling = settle_budgets(client, &budgets, report.release_lease);
    let answering = async {
        query(
            client,
            ANSWER_SYNC_REQUEST.text,
            &[&report.request.0, &answer],
        )
        .await
        .map_err(StoreError::from_write)?;
        Ok(())
    };
    let statements = [
        OBSERVE_BUDGET,
        RELEASE_REFS,
        SETTLE_BUDGETS,
        ANSWER_SYNC_REQUEST,
    ];
    prepare(client, &statements).await?;
    // Boxed, since four of them side by side are large.
    try_join4(
        Box::pin(observing),
        Box::pin(releasing),
        Box::pin(settling),
        Box::pin(answering),
    )
    .await?;
    Ok(())
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
