//! What `RefreshChat` asks of the refs of a chat.

use std::time::Duration;

use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    budgets::{make_budgets_due, maybe_named, retrying},
    chat::Guarded,
    git_ref::guard,
    polling::lock_budgets_of,
    predicate::{ALLOWED, READABLE, composed},
    query,
    sql::{Params, sql},
};
use crate::{
    authz::Authorized,
    diff_status::ProblemClass,
    id::{ChatId, GitRefId},
};

const AUTHORIZE_CHAT: Sql = sql!("authorize_chat");
const REFRESH_REFS: Sql = sql!("refresh_refs");
const LIST_OUTCOME_SEQS: Sql = sql!("list_outcome_seqs");

/// The polled refs of a chat, which were made due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Awaited {
    /// Each with how many outcomes it has had.
    pub(crate) refs: Vec<(GitRefId, i64)>,
    /// Some of them can be leased. Those of a paused budget were left alone.
    pub(crate) due: bool,
}

/// What a ref's last outcome was.
#[derive(Clone, Debug)]
pub(crate) struct LastOutcome {
    pub(crate) git_ref: GitRefId,
    pub(crate) outcome_seq: i64,
    /// It is the primary, or has an open pull request.
    pub(crate) polled: bool,
    /// Whether another outcome is to come; not when the chat moved on to another branch meanwhile.
    pub(crate) planned: bool,
    /// For how long nothing is sent, since the rate limit is spent.
    pub(crate) paused_for: Option<Duration>,
    /// Why nothing is sent: the host refuses the credential.
    pub(crate) refusal: Option<ProblemClass>,
    pub(crate) problem: Option<ProblemClass>,
    /// When the host said to come back.
    pub(crate) retry_in: Option<Duration>,
}

impl Store {
    /// Makes the polled refs of a chat due now, as those that somebody waits for, except those that
    /// `answered`. Refs of a paused budget are left alone.
    pub(crate) async fn make_chat_due(
        &self,
        readable: &Authorized,
        allowed: &Authorized,
        chat: ChatId,
        answered: &[GitRefId],
    ) -> Result<Guarded<Awaited>, StoreError> {
        let mut params = Params::default();
        params.push(chat.0);
        let authorize = composed(
            AUTHORIZE_CHAT,
            params,
            &[(READABLE, readable), (ALLOWED, allowed)],
        )?;
        let answered: Vec<Uuid> = answered.iter().map(|id| id.0).collect();
        let once = || async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await.map_err(StoreError::from_read)?;
            if let Some(refused) = guard(&transaction, chat, &authorize).await? {
                return Ok(refused);
            }
            lock_budgets_of(&transaction, chat).await?;
            let rows = query(&transaction, REFRESH_REFS.text, &[&chat.0, &answered])
                .await
                .map_err(StoreError::from_write)?;
            let mut awaited = Awaited::default();
            let mut budgets: Vec<Uuid> = Vec::new();
            for row in &rows {
                let id = GitRefId(row.try_get("id").map_err(StoreError::row)?);
                let outcomes = row.try_get("outcome_seq").map_err(StoreError::row)?;
                awaited.refs.push((id, outcomes));
                if !row.try_get::<_, bool>("paused").map_err(StoreError::row)? {
                    budgets.push(row.try_get("budget_id").map_err(StoreError::row)?);
                }
            }
            make_budgets_due(&transaction, &budgets, true).await?;
            awaited.due = !budgets.is_empty();
            transaction.commit().await.map_err(StoreError::from_write)?;
            Ok(Guarded::Done(awaited))
        };
        retrying(once).await
    }

    /// The last outcomes of `refs`, the primary's first. A ref that is gone has none.
    pub(crate) async fn last_outcomes(
        &self,
        refs: &[(GitRefId, i64)],
    ) -> Result<Vec<LastOutcome>, StoreError> {
        let ids: Vec<Uuid> = refs.iter().map(|(id, _)| id.0).collect();
        let rows = self.read(LIST_OUTCOME_SEQS, &[&ids]).await?;
        rows.iter()
            .map(|row| {
                Ok(LastOutcome {
                    git_ref: GitRefId(row.try_get("id").map_err(StoreError::row)?),
                    outcome_seq: row.try_get("outcome_seq").map_err(StoreError::row)?,
                    polled: row.try_get("polled").map_err(StoreError::row)?,
                    planned: row.try_get("planned").map_err(StoreError::row)?,
                    paused_for: maybe_duration(row, "paused_seconds")?,
                    refusal: maybe_named(row, "refusal", ProblemClass::parse)?,
                    problem: maybe_named(row, "problem_class", ProblemClass::parse)?,
                    retry_in: maybe_duration(row, "retry_seconds")?,
                })
            })
            .collect()
    }
}

fn maybe_duration(row: &Row, column: &str) -> Result<Option<Duration>, StoreError> {
    let seconds: Option<f64> = row.try_get(column).map_err(StoreError::row)?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}
