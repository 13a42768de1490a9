//! What `RefreshChat` asks of the refs of a chat.

use std::time::Duration;

use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    chat::Guarded,
    git_ref::guard,
    predicate::{ALLOWED, Params, READABLE, composed},
    query,
    row::maybe_named,
    sql,
    transaction::{make_budgets_due, retrying},
};
use crate::{
    authz::Authorized,
    diff_status::ProblemClass,
    id::{ChatId, GitRefId},
};

const AUTHORIZE_CHAT: Sql = sql!("authorize_chat");
const LOCK_POLLED_BUDGETS: Sql = sql!("lock_polled_budgets");
const REFRESH_REFS: Sql = sql!("refresh_refs");
const LIST_OUTCOME_SEQS: Sql = sql!("list_outcome_seqs");

/// Refs that were made due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Awaited {
    /// Each with how many outcomes it has had.
    pub(crate) refs: Vec<(GitRefId, i64)>,
    /// How long the longest pause lasts of the refs that were left alone because their budget is
    /// paused.
    pub(crate) paused_for: Option<Duration>,
}

/// What a ref's last outcome was.
#[derive(Clone, Debug)]
pub(crate) struct LastOutcome {
    pub(crate) git_ref: GitRefId,
    pub(crate) outcome_seq: i64,
    /// Whether another outcome is to come; not when the chat moved on to another branch meanwhile.
    pub(crate) planned: bool,
    pub(crate) problem: Option<ProblemClass>,
    /// When the host said to come back.
    pub(crate) retry_in: Option<Duration>,
}

impl Store {
    /// Makes the polled refs of a chat due now, as those that somebody waits for. Refs of a paused
    /// budget are left alone.
    pub(crate) async fn make_chat_due(
        &self,
        readable: Authorized,
        allowed: Authorized,
        chat: ChatId,
    ) -> Result<Guarded<Awaited>, StoreError> {
        let mut params = Params::default();
        params.push(chat.0);
        let authorize = composed(
            AUTHORIZE_CHAT,
            &mut params,
            &[(READABLE, &readable), (ALLOWED, &allowed)],
        )?;
        let once = || async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await.map_err(StoreError::from_read)?;
            if let Some(refused) = guard(&transaction, chat, &authorize, &params).await? {
                return Ok(refused);
            }
            let rows = query(&transaction, LOCK_POLLED_BUDGETS.text, &[&chat.0])
                .await
                .map_err(StoreError::from_read)?;
            let mut awaited = Awaited::default();
            let mut budgets: Vec<Uuid> = Vec::new();
            for row in &rows {
                let paused: Option<f64> = row.try_get("paused_seconds").map_err(StoreError::row)?;
                match paused {
                    Some(seconds) => {
                        let pause = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                        awaited.paused_for = awaited.paused_for.max(Some(pause));
                    }
                    None => budgets.push(row.try_get("id").map_err(StoreError::row)?),
                }
            }
            make_budgets_due(&transaction, &budgets).await?;
            let rows = query(&transaction, REFRESH_REFS.text, &[&chat.0, &budgets])
                .await
                .map_err(StoreError::from_write)?;
            awaited.refs = rows
                .iter()
                .map(|row| {
                    Ok((
                        GitRefId(row.try_get("id")?),
                        row.try_get::<_, i64>("outcome_seq")?,
                    ))
                })
                .collect::<Result<_, _>>()
                .map_err(StoreError::row)?;
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
                let retry: Option<f64> = row.try_get("retry_seconds").map_err(StoreError::row)?;
                Ok(LastOutcome {
                    git_ref: GitRefId(row.try_get("id").map_err(StoreError::row)?),
                    outcome_seq: row.try_get("outcome_seq").map_err(StoreError::row)?,
                    planned: row.try_get("planned").map_err(StoreError::row)?,
                    problem: maybe_named(row, "problem_class", ProblemClass::parse)?,
                    retry_in: retry
                        .map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()),
                })
            })
            .collect()
    }
}
