//! Propagates a report to refs without an outcome in it: those in a repository that became
//! unreadable or readable; other accounts' refs of a changed pull request; and those of a branch
//! with another pull request than they know.
//!
//! Each of these runs in transactions of its own after the report's, and is bounded. A failure, or
//! the end of the process before them, loses no data: a ref that was to wait fails by itself, and
//! one that was to be looked up soon is looked up later. The worker waits for its answer meanwhile,
//! so lock waits are short, and a batch is bisected around a row that stays locked.

use jiff::Timestamp;
use uuid::Uuid;

use crate::store::{
    Sql, Store, StoreError,
    column::{Columns as _, column},
    due::{LOCK_ACCOUNTS, LOCK_POLLS, NONE},
    sql::{Values, bind, sql},
    transaction::Tx,
};

const BOUND_LOCK_WAIT: Sql = sql!("bound_lock_wait");
const LIST_SIBLINGS: Sql = sql!("list_siblings");
const PUT_OFF_REFS: Sql = sql!("put_off_refs");
const LIST_READABLE_REFS: Sql = sql!("list_readable_refs");
const REQUEUE_REFS: Sql = sql!("requeue_refs");
const LIST_HINTED_REFS: Sql = sql!("list_hinted_refs");
const LIST_BRANCH_REFS: Sql = sql!("list_branch_refs");
const LOCK_FREE_POLLS: Sql = sql!("lock_free_polls");
const HINT_REFS: Sql = sql!("hint_refs");

/// Refs of a repository that one report puts off at most.
const MAX_SIBLINGS: i64 = 500;
/// Refs of other accounts that one report makes due at most.
const MAX_HINTED: i64 = 200;
/// Refs of one branch that one report makes due at most: a default branch may have very many.
const MAX_OF_BRANCH: i64 = 50;
/// Refs of one pull request, or of one branch, that are looked at for that at most.
const MAX_FOLLOWERS: i64 = 1000;
/// Refs that are hinted at in one transaction: as many accounts and budgets are locked for it.
const HINT_BATCH: usize = 50;
/// How long one transaction waits for a lock.
const LOCK_WAIT: &str = "100ms";
/// Lock timeouts after which a report skips the rest of one kind of effect: enough to find two
/// locked refs among 200.
const LOCK_WAITS: u32 = 16;

/// The effects of a report on other refs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spread {
    /// When the lease began.
    pub(crate) leased_at: Option<Timestamp>,
    /// Refs that failed with a problem of their whole repository.
    pub(crate) of_repository: Vec<Uuid>,
    /// Refs that had such a problem, and have it no more.
    pub(crate) healed: Vec<Uuid>,
    /// Refs whose pull request was seen to change.
    pub(crate) seen_to_change: Vec<Uuid>,
    /// Refs of which another pull request was found than was known.
    pub(crate) found_another: Vec<Uuid>,
}

/// The result of propagating a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpreadResult {
    /// Refs that were deferred.
    pub(crate) put_off: u64,
    /// Refs that were made due.
    pub(crate) hinted: u64,
    /// Whether to notify waiting lease calls.
    pub(crate) due: bool,
    /// A reader sees something new.
    pub(crate) events: bool,
}

impl SpreadResult {
    fn add(&mut self, other: Self) {
        self.put_off += other.put_off;
        self.hinted += other.hinted;
        self.due |= other.due;
        self.events |= other.events;
    }
}

/// An effect of a report on refs that it has no outcome of.
#[derive(Clone, Copy)]
enum Effect<'a> {
    /// They wait until those of the report are due again.
    PutOff(&'a Spread),
    /// They are due if they still have a problem.
    Requeue,
    /// They are due soon, and a lookup that is under way does not change that.
    Hint {
        /// Whether to look up their branch, whatever is known.
        of_branch: bool,
    },
}

impl Store {
    /// Applies what a report, which is applied itself, means for other refs. A kind of effect that
    /// fails is logged, and the others are applied all the same.
    pub(crate) async fn spread(&self, spread: &Spread) -> SpreadResult {
        let Spread {
            leased_at,
            of_repository,
            healed,
            seen_to_change,
            found_another,
        } = spread;
        let hint = |of_branch| Effect::Hint { of_branch };
        // Most pull requests and branches are followed by one account: no transaction then.
        let kinds: [(&[Uuid], Sql, Values<'_>, Effect<'_>); 4] = [
            (
                of_repository,
                LIST_SIBLINGS,
                &[of_repository, leased_at, &MAX_SIBLINGS],
                Effect::PutOff(spread),
            ),
            (
                healed,
                LIST_READABLE_REFS,
                &[healed, &MAX_SIBLINGS],
                Effect::Requeue,
            ),
            (
                seen_to_change,
                LIST_HINTED_REFS,
                &[seen_to_change, &MAX_HINTED, &MAX_FOLLOWERS],
                hint(false),
            ),
            (
                found_another,
                LIST_BRANCH_REFS,
                &[found_another, &MAX_OF_BRANCH, &MAX_FOLLOWERS],
                hint(true),
            ),
        ];
        let mut done = SpreadResult::default();
        for (of, list, values, effect) in kinds {
            if !of.is_empty()
                && let Err(error) = self.spread_one(list, values, effect, &mut done).await
            {
                tracing::warn!(
                    %error,
                    listed_by = list.name,
                    "what a report means for other refs was not done"
                );
            }
        }
        done
    }

    async fn spread_one(
        &self,
        list: Sql,
        values: Values<'_>,
        effect: Effect<'_>,
        done: &mut SpreadResult,
    ) -> Result<(), StoreError> {
        let rows = self.read(list, values).await?;
        let refs: Vec<Uuid> = column(&rows, "id")?;
        let size = match effect {
            Effect::PutOff(_) | Effect::Requeue => refs.len().max(1),
            Effect::Hint { .. } => HINT_BATCH,
        };
        let mut batches: Vec<&[Uuid]> = refs.chunks(size).collect();
        let mut waits = 0;
        while let Some(batch) = batches.pop()
            && waits < LOCK_WAITS
        {
            match self.transaction(|tx| affect(tx, batch, effect)).await {
                // Bisects around a ref, an account or a budget that stays locked, so that the other
                // refs are affected all the same.
                Err(StoreError::Locked { .. }) => {
                    waits += 1;
                    if batch.len() > 1 {
                        batches.extend(<[_; 2]>::from(batch.split_at(batch.len() / 2)));
                    }
                }
                affected => done.add(affected?),
            }
        }
        Ok(())
    }
}

async fn affect(tx: Tx, refs: &[Uuid], effect: Effect<'_>) -> Result<SpreadResult, StoreError> {
    // A ref that is being written is reported, or has its own outcome: it needs no hint.
    let hints = matches!(effect, Effect::Hint { .. });
    let [_, all, free] = tx
        .pipeline([
            bind(BOUND_LOCK_WAIT, &[&LOCK_WAIT]),
            bind(LOCK_POLLS, &[&refs]).only_if(!hints),
            bind(LOCK_FREE_POLLS, &[&refs, &NONE]).only_if(hints),
        ])
        .await?;
    let locked = if hints { free } else { all };
    let refs: Vec<Uuid> = column(&locked, "ref_id")?;
    let accounts: Vec<Uuid> = column(&locked, "account_id")?;
    let mut done = SpreadResult::default();
    match effect {
        Effect::PutOff(spread) => {
            let (failed, leased_at) = (&spread.of_repository, &spread.leased_at);
            // A report locks the account before it makes a ref due.
            let ([_, rows], _) = tx
                .commit_due(
                    [
                        bind(LOCK_ACCOUNTS, &[&accounts]),
                        bind(PUT_OFF_REFS, &[&refs, failed, leased_at]),
                    ],
                    &accounts,
                )
                .await?;
            if let Some(row) = rows.first() {
                let put_off: i64 = row.get_as("refs")?;
                done.put_off = put_off.unsigned_abs();
                done.events = row.get_as("events")?;
            }
        }
        Effect::Requeue => {
            let (_, due) = tx
                .commit_due([bind(REQUEUE_REFS, &[&refs, &true])], &accounts)
                .await?;
            (done.hinted, done.due) = (refs.len() as u64, due);
        }
        Effect::Hint { of_branch } => {
            let ([_, hinted], due) = tx
                .commit_due(
                    [
                        bind(LOCK_ACCOUNTS, &[&accounts]),
                        bind(HINT_REFS, &[&refs, &of_branch]),
                    ],
                    &accounts,
                )
                .await?;
            (done.hinted, done.due) = (hinted.len() as u64, due);
        }
    }
    Ok(done)
}
