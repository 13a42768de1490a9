//! The refs of a chat for `RefreshChat`.

use std::time::Duration;

use proto::sync::ProblemClass;
use service_runtime::trace;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    column::Columns as _,
    guard::Guard,
    sql::{Values, bind, sql},
    transaction::Tx,
};
use crate::{
    authz::Authorized,
    id::{ChatId, GitRefId},
};

const REFRESH_REFS: Sql = sql!("refresh_refs");
const LIST_OUTCOME_SEQS: Sql = sql!("list_outcome_seqs");

/// The polled refs of a chat, which were made due.
#[derive(Clone, Debug, Default)]
pub(crate) struct DueRefs {
    /// Each with how many answers it has had.
    pub(crate) refs: Vec<(GitRefId, i64)>,
    /// The budgets that their lookups spend.
    pub(crate) budgets: Vec<Uuid>,
    /// Whether to notify waiting lease calls.
    pub(crate) due: bool,
}

/// The last outcome of a ref.
#[derive(Clone, Debug)]
pub(crate) struct LastOutcome {
    pub(crate) git_ref: GitRefId,
    pub(crate) outcome_seq: i64,
    /// It is the primary, has an open pull request, or was not looked up since its last report.
    pub(crate) polled: bool,
    /// Whether another outcome is to come; not when the chat moved on to another branch meanwhile.
    pub(crate) planned: bool,
    /// Why nothing is sent now.
    pub(crate) withheld: Option<ProblemClass>,
    /// For how long, if that is known.
    pub(crate) withheld_for: Option<Duration>,
    /// Why the last lookup brought nothing.
    pub(crate) problem: Option<ProblemClass>,
}

impl Store {
    /// Makes the polled refs of a chat due now, as those that a person waits for, except those that
    /// `answered`. Those that cannot be asked for now keep their time. Their lookup continues the
    /// current trace, if that is recorded.
    pub(crate) async fn make_chat_due(
        &self,
        readable: &Authorized,
        allowed: &Authorized,
        chat: ChatId,
        answered: &[GitRefId],
    ) -> Result<DueRefs, StoreError> {
        let guard = Guard::new(readable, allowed, chat)?;
        let answered: Vec<Uuid> = answered.iter().map(|id| id.0).collect();
        self.transaction(|tx| make_due(tx, chat, &guard, &answered))
            .await
    }

    /// The last answers of `refs`, the primary's first. A ref that is gone has none.
    pub(crate) async fn last_outcomes(
        &self,
        refs: &[(GitRefId, i64)],
    ) -> Result<Vec<LastOutcome>, StoreError> {
        let ids: Vec<Uuid> = refs.iter().map(|(id, _)| id.0).collect();
        let rows = self.read(LIST_OUTCOME_SEQS, &[&ids]).await?;
        rows.iter().map(last_outcome).collect()
    }
}

async fn make_due(
    tx: Tx,
    chat: ChatId,
    guard: &Guard,
    answered: &[Uuid],
) -> Result<DueRefs, StoreError> {
    let trace = trace::traceparent();
    let values: Values<'_> = &[&chat.0, &answered, &trace];
    let refresh = bind(REFRESH_REFS, values);
    let (rows, due) = tx.commit_awaited(guard, chat, refresh).await?;
    let mut awaited = DueRefs {
        due,
        ..DueRefs::default()
    };
    for row in &rows {
        awaited
            .refs
            .push((row.get_as("id")?, row.get_as("outcome_seq")?));
        awaited
            .budgets
            .extend(row.get_as::<Option<Uuid>>("budget_id")?);
    }
    Ok(awaited)
}

fn last_outcome(row: &Row) -> Result<LastOutcome, StoreError> {
    Ok(LastOutcome {
        git_ref: row.get_as("id")?,
        outcome_seq: row.get_as("outcome_seq")?,
        polled: row.get_as("polled")?,
        planned: row.get_as("planned")?,
        withheld: row.get_as("withheld_class")?,
        withheld_for: row.get_as("withheld_seconds")?,
        problem: row.get_as("problem_class")?,
    })
}
