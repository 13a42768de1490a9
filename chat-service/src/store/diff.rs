//! The diffs that callers of `GetChatDiff` ask for, and the answers until they were read.
//!
//! A question makes its ref due in the interactive lane. It expires unless a waiting call extends
//! it. Reports of workers are stored by `store::sync`.

use std::time::Duration;

use jiff::Timestamp;
use proto::sync::ProblemClass;
use service_runtime::trace;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    column::{Columns as _, first},
    guard::Guard,
    prune::is_full,
    sql::{Values, bind, sql},
    transaction::Tx,
};
use crate::{
    authz::Authorized,
    id::{ChatId, GitRefId},
    text_enum::text_enum,
};

const FIND_DIFF: Sql = sql!("find_diff");
const ASK_DIFF: Sql = sql!("ask_diff");
const WANT_DIFF: Sql = sql!("want_diff");
const READ_DIFF: Sql = sql!("read_diff");
const PRUNE_DIFFS: Sql = sql!("prune_diffs");

/// Refs of one account whose diffs are asked for at once at most.
const MAX_ASKED: i64 = 20;
/// A question is wanted for this long after its caller was last seen to wait.
pub(crate) const WANTED: Duration = Duration::from_secs(5);
/// What is given to no more callers is kept for this long for those who read it.
pub(crate) const READING_TIME: Duration = Duration::from_secs(60);
/// Diffs that one statement forgets at most: each may have megabytes.
const PRUNED: i64 = 100;

text_enum! {
    /// What came of a question.
    DiffResultName, else Unspecified {
        /// The diff.
        Found = "found",
        /// It is too large.
        TooLarge = "too_large",
        /// There is no such branch or pull request any more.
        Missing = "missing",
        /// The host was not asked, or did not answer.
        Failed = "failed",
    }
}

/// How it stands with the diff of a chat's primary ref.
#[derive(Clone, Debug)]
pub(crate) struct DiffState {
    pub(crate) git_ref: GitRefId,
    /// The budget that its lookup spends.
    pub(crate) budget: Option<Uuid>,
    /// A lookup is to come.
    pub(crate) planned: bool,
    /// Questions so far.
    pub(crate) asked: i64,
    /// The answer to the last one that was answered.
    pub(crate) answer: Option<LastDiffAnswer>,
    /// Why nothing is sent now.
    pub(crate) withheld: Option<ProblemClass>,
    /// For how long, if that is known.
    pub(crate) withheld_for: Option<Duration>,
}

/// An answer, without the diff itself.
#[derive(Clone, Debug)]
pub(crate) struct LastDiffAnswer {
    /// Of which question.
    pub(crate) question: i64,
    /// It is given to those who ask now.
    pub(crate) current: bool,
    pub(crate) answer: DiffOutcome,
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) enum DiffOutcome {
    Found(DiffHead),
    TooLarge,
    Missing,
    Failed {
        class: ProblemClass,
        retry_after: Option<Duration>,
    },
}

/// Of what a diff is.
#[derive(Clone, Debug)]
pub(crate) struct DiffHead {
    /// Where it is stored.
    pub(crate) place: DiffPlace,
    pub(crate) git_remote_origin: String,
    pub(crate) git_branch: String,
    pub(crate) pr_number: Option<i32>,
    pub(crate) base_branch: Option<String>,
    pub(crate) head_sha: Option<String>,
    /// Bytes.
    pub(crate) size: i32,
    pub(crate) fetched_at: Timestamp,
}

/// The answer to a question, as long as no other one takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiffPlace {
    git_ref: GitRefId,
    question: i64,
}

/// What came of asking.
#[derive(Clone, Debug)]
pub(crate) enum AskResult {
    /// The question has this number, and waiting lease calls are to be notified if `due`.
    Asked {
        git_ref: GitRefId,
        question: i64,
        due: bool,
    },
    /// Too many others of the account are asked for.
    TooMany,
    /// The chat has no ref.
    NoRef,
}

impl Store {
    /// How it stands with the diff of the chat's primary ref. `None` when it has no ref. The caller
    /// may read the chat.
    pub(crate) async fn find_diff(&self, chat: ChatId) -> Result<Option<DiffState>, StoreError> {
        let rows = self.read(FIND_DIFF, &[&chat.0]).await?;
        rows.first().map(state).transpose()
    }

    /// Asks for the diff of the primary ref of a chat that is `readable`, and makes that due. The
    /// lookup continues the current trace, if that is recorded.
    pub(crate) async fn ask_diff(
        &self,
        readable: &Authorized,
        chat: ChatId,
    ) -> Result<AskResult, StoreError> {
        let guard = Guard::new(readable, readable, chat)?;
        self.transaction(|tx| ask(tx, chat, &guard)).await
    }

    /// Extends the time for which a question is wanted: a call still waits for its answer.
    pub(crate) async fn want_diff(&self, git_ref: GitRefId) -> Result<(), StoreError> {
        let seconds = WANTED.as_secs_f64();
        self.write(WANT_DIFF, &[&git_ref.0, &seconds]).await?;
        Ok(())
    }

    /// At most `length` bytes of a diff after its first `offset`. `None` when it was replaced or
    /// forgotten meanwhile.
    pub(crate) async fn read_diff(
        &self,
        place: DiffPlace,
        offset: i32,
        length: i32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let DiffPlace { git_ref, question } = place;
        // SQL counts from 1.
        let values: Values<'_> = &[&git_ref.0, &question, &(offset + 1), &length];
        let rows = self.read(READ_DIFF, values).await?;
        first(&rows, "part")
    }

    /// Forgets diffs that were given and read; says whether there may be more. To be called now and
    /// then.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn prune_diffs(&self) -> Result<bool, StoreError> {
        let seconds = READING_TIME.as_secs_f64();
        let pruned = self.write(PRUNE_DIFFS, &[&PRUNED, &seconds]).await?;
        Ok(is_full(pruned.len(), PRUNED))
    }
}

async fn ask(tx: Tx, chat: ChatId, guard: &Guard) -> Result<AskResult, StoreError> {
    let (wanted, trace) = (WANTED.as_secs_f64(), trace::traceparent());
    let values: Values<'_> = &[&chat.0, &MAX_ASKED, &wanted, &trace];
    let question = bind(ASK_DIFF, values);
    let (rows, due) = tx.commit_awaited(guard, chat, question).await?;
    let Some(row) = rows.first() else {
        return Ok(AskResult::NoRef);
    };
    let question: Option<i64> = row.get_as("asked")?;
    Ok(match question {
        Some(question) => AskResult::Asked {
            git_ref: row.get_as("id")?,
            question,
            due,
        },
        None => AskResult::TooMany,
    })
}

fn state(row: &Row) -> Result<DiffState, StoreError> {
    let result: Option<DiffResultName> = row.get_as("result")?;
    Ok(DiffState {
        git_ref: row.get_as("id")?,
        budget: row.get_as("budget_id")?,
        planned: row.get_as("planned")?,
        asked: row.get_as("asked")?,
        answer: result.map(|result| answered(row, result)).transpose()?,
        withheld: row.get_as("withheld_class")?,
        withheld_for: row.get_as("withheld_seconds")?,
    })
}

fn answered(row: &Row, result: DiffResultName) -> Result<LastDiffAnswer, StoreError> {
    let question = row.get_as("answered")?;
    Ok(LastDiffAnswer {
        question,
        current: row.get_as("current")?,
        answer: match result {
            DiffResultName::Found => DiffOutcome::Found(DiffHead {
                place: DiffPlace {
                    git_ref: row.get_as("id")?,
                    question,
                },
                git_remote_origin: row.get_as("git_remote_origin")?,
                git_branch: row.get_as("git_branch")?,
                pr_number: row.get_as("pr_number")?,
                base_branch: row.get_as("base_branch")?,
                head_sha: row.get_as("head_sha")?,
                size: row.get_as("size")?,
                fetched_at: row.get_as("fetched_at")?,
            }),
            DiffResultName::TooLarge => DiffOutcome::TooLarge,
            DiffResultName::Missing => DiffOutcome::Missing,
            DiffResultName::Failed => DiffOutcome::Failed {
                class: row.get_as("problem_class")?,
                retry_after: row.get_as("retry_seconds")?,
            },
            DiffResultName::Unspecified => DiffOutcome::Failed {
                class: ProblemClass::Unspecified,
                retry_after: None,
            },
        },
    })
}
