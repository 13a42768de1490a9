//! What a report means for refs that it has no outcome of: those in a repository that cannot be
//! read, or that can be read again, and other accounts' refs of a pull request that was seen to
//! change.
//!
//! Each is a transaction of its own after the report's, and bounded. When one fails, or the process
//! dies before it, nothing is lost: what was to wait fails by itself, and what was to be looked up
//! soon is looked up later. The worker waits for its answer meanwhile, so that none of it waits
//! long for a lock.

use jiff::Timestamp;
use uuid::Uuid;

use crate::store::{
    Sql, Store, StoreError,
    column::{Columns as _, column},
    due::{LOCK_ACCOUNTS, LOCK_BUDGETS, LOCK_POLLS, SETTLE_ACCOUNTS, SETTLE_BUDGETS},
    sql::{bind, sql},
    transaction::Tx,
};

const BOUND_LOCK_WAIT: Sql = sql!("bound_lock_wait");
const LIST_SIBLINGS: Sql = sql!("list_siblings");
const PUT_OFF_REFS: Sql = sql!("put_off_refs");
const LIST_READABLE_REFS: Sql = sql!("list_readable_refs");
const REQUEUE_REFS: Sql = sql!("requeue_refs");
const LIST_HINTED_REFS: Sql = sql!("list_hinted_refs");
const LOCK_FREE_POLLS: Sql = sql!("lock_free_polls");
const HINT_REFS: Sql = sql!("hint_refs");

/// Refs of a repository that one report puts off at most.
const MAX_SIBLINGS: i64 = 500;
/// Refs of other accounts that one report makes due at most.
const MAX_HINTED: i64 = 200;
/// Refs of one pull request that are looked at for that at most.
const MAX_FOLLOWERS: i64 = 1000;
/// Refs that are hinted at in one transaction: as many accounts and budgets are locked for it.
const HINT_BATCH: usize = 50;
/// How long one transaction waits for a lock.
const LOCK_WAIT: &str = "100ms";
/// How often a report waits in vain for a lock: enough to find two locked refs among 200.
const LOCK_WAITS: u32 = 16;
/// No budget beside those of the accounts that another parameter names.
const NONE: [Uuid; 0] = [];

/// What a report means for other refs.
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
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spreading {
    /// Refs that were put off.
    pub(crate) put_off: u64,
    /// Refs of other accounts, or of a repository that can be read again, that were made due.
    pub(crate) hinted: u64,
    /// A reader sees something new.
    pub(crate) events: bool,
}

impl Store {
    /// Does what a report means for other refs.
    pub(crate) async fn spread(&self, spread: &Spread) -> Result<Spreading, StoreError> {
        let mut done = Spreading::default();
        let mut put_off = Ok((0, false));
        if !spread.of_repository.is_empty() {
            put_off = self.put_off(spread).await;
        }
        // None goes without the others.
        let mut requeued = Ok(0);
        if !spread.healed.is_empty() {
            requeued = self.requeue_siblings(&spread.healed).await;
        }
        if !spread.seen_to_change.is_empty() {
            done.hinted = self.hint(&spread.seen_to_change).await?;
        }
        (done.put_off, done.events) = put_off?;
        done.hinted += requeued?;
        Ok(done)
    }

    /// Returns how many refs were put off, and whether a reader sees that.
    async fn put_off(&self, spread: &Spread) -> Result<(u64, bool), StoreError> {
        let (failed, leased_at) = (&spread.of_repository, &spread.leased_at);
        let rows = self
            .read(LIST_SIBLINGS, &[failed, leased_at, &MAX_SIBLINGS])
            .await?;
        if rows.is_empty() {
            return Ok((0, false));
        }
        let siblings: Vec<Uuid> = column(&rows, "id")?;
        let accounts: Vec<Uuid> = column(&rows, "account_id")?;
        self.transaction(|tx| put_off_once(tx, &siblings, &accounts, spread))
            .await
    }

    /// What was put off with the refs `read`, or failed as they did, is due: the cause is gone.
    /// Returns how many refs that are.
    async fn requeue_siblings(&self, read: &[Uuid]) -> Result<u64, StoreError> {
        let rows = self
            .read(LIST_READABLE_REFS, &[&read, &MAX_SIBLINGS])
            .await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let refs: Vec<Uuid> = column(&rows, "id")?;
        let accounts: Vec<Uuid> = column(&rows, "account_id")?;
        self.transaction(|tx| requeue_once(tx, &refs, &accounts))
            .await?;
        Ok(refs.len() as u64)
    }

    /// Returns how many refs were made due.
    async fn hint(&self, seen: &[Uuid]) -> Result<u64, StoreError> {
        // Most pull requests are followed by one account: no transaction then.
        let rows = self
            .read(LIST_HINTED_REFS, &[&seen, &MAX_HINTED, &MAX_FOLLOWERS])
            .await?;
        let followers: Vec<Uuid> = column(&rows, "id")?;
        let mut batches: Vec<&[Uuid]> = followers.chunks(HINT_BATCH).collect();
        let (mut hinted, mut waits) = (0, 0);
        while let Some(batch) = batches.pop()
            && waits < LOCK_WAITS
        {
            match self.transaction(|tx| hint_once(tx, batch)).await {
                // Bisects around an account or a budget that is locked for long: the others get
                // their hint.
                Err(StoreError::Locked { .. }) => {
                    waits += 1;
                    if batch.len() > 1 {
                        batches.extend(<[_; 2]>::from(batch.split_at(batch.len() / 2)));
                    }
                }
                made => hinted += made?,
            }
        }
        Ok(hinted)
    }
}

async fn put_off_once(
    tx: Tx,
    siblings: &[Uuid],
    accounts: &[Uuid],
    spread: &Spread,
) -> Result<(u64, bool), StoreError> {
    let (failed, leased_at) = (&spread.of_repository, &spread.leased_at);
    let none = NONE.as_slice();
    let [_, _, _, rows, _, _, _] = tx
        .commit_after([
            bind(BOUND_LOCK_WAIT, &[&LOCK_WAIT]),
            bind(LOCK_POLLS, &[&siblings]),
            bind(LOCK_ACCOUNTS, &[&accounts]),
            bind(PUT_OFF_REFS, &[&siblings, failed, leased_at]),
            bind(SETTLE_ACCOUNTS, &[&accounts]),
            bind(LOCK_BUDGETS, &[&none, &accounts]),
            bind(SETTLE_BUDGETS, &[&none, &false, &accounts]),
        ])
        .await?;
    let Some(row) = rows.first() else {
        return Ok((0, false));
    };
    let refs: i64 = row.get_as("refs")?;
    Ok((refs.unsigned_abs(), row.get_as("events")?))
}

async fn requeue_once(tx: Tx, refs: &[Uuid], accounts: &[Uuid]) -> Result<(), StoreError> {
    tx.commit_due(
        [
            bind(BOUND_LOCK_WAIT, &[&LOCK_WAIT]),
            bind(LOCK_POLLS, &[&refs]),
            bind(REQUEUE_REFS, &[&refs, &true]),
        ],
        accounts,
    )
    .await?;
    Ok(())
}

/// A ref that is being written is left out: it is reported, or has its own outcome.
async fn hint_once(tx: Tx, followers: &[Uuid]) -> Result<u64, StoreError> {
    let [_, rows] = tx
        .pipeline([
            bind(BOUND_LOCK_WAIT, &[&LOCK_WAIT]),
            bind(LOCK_FREE_POLLS, &[&followers, &NONE.as_slice()]),
        ])
        .await?;
    let refs: Vec<Uuid> = column(&rows, "ref_id")?;
    let accounts: Vec<Uuid> = column(&rows, "account_id")?;
    let none = NONE.as_slice();
    let [_, hinted, _, _, _] = tx
        .commit_after([
            bind(LOCK_ACCOUNTS, &[&accounts]),
            bind(HINT_REFS, &[&refs]),
            bind(SETTLE_ACCOUNTS, &[&accounts]),
            bind(LOCK_BUDGETS, &[&none, &accounts]),
            bind(SETTLE_BUDGETS, &[&none, &false, &accounts]),
        ])
        .await?;
    Ok(hinted.len() as u64)
}
