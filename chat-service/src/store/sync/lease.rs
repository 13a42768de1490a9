//! Claiming, renewing and releasing leases.
//!
//! A claim locks the budgets whose turn it is, reads what is due of them, and writes the budgets
//! alone: no ref is marked. A budget that was ready and of which nothing is due (an archived chat,
//! an evicted ref) is settled in a transaction of its own, since accounts are locked before
//! budgets. So is an account whose token has expired: it is held until that is renewed.

use std::{collections::HashSet, time::Duration};

use proto::{
    bounds::DEFAULT_LEASED_REFS,
    sync::{Lane, LeaseRequest, LeaseToken, Renewal},
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    FIND_SYNC_REQUEST, INSERT_SYNC_REQUEST, LOCK_LEASE, LOCK_REQUEST,
    hand_out::{Choice, LeaseRows},
};
use crate::{
    authz::CredentialAccess,
    store::{
        Sql, Store, StoreError,
        column::{Columns as _, column, first},
        due::{LOCK_ACCOUNTS, LOCK_BUDGETS, NONE, SETTLE_ACCOUNTS, SETTLE_BUDGETS, is_due},
        sql::{bind, sql},
        transaction::Tx,
    },
};

const BOUND_LOCK_WAIT: Sql = sql!("bound_lock_wait");
const LOCK_READY_BUDGETS: Sql = sql!("lock_ready_budgets");
const LIST_DUE_REFS: Sql = sql!("list_due_refs");
const LIST_EARLY_REFS: Sql = sql!("list_early_refs");
const CLAIM_BUDGETS: Sql = sql!("claim_budgets");
const RECLAIM_BUDGETS: Sql = sql!("reclaim_budgets");
const LIST_LEASED_BUDGETS: Sql = sql!("list_leased_budgets");
const LIST_LEASED_REFS: Sql = sql!("list_leased_refs");
const READ_CREDENTIALS: Sql = sql!("read_credentials");
const HOLD_ACCOUNTS: Sql = sql!("hold_accounts");
const FIND_NEXT_BUDGET: Sql = sql!("find_next_budget");
const RENEW_LEASE: Sql = sql!("renew_lease");

/// Refs that a turn of a budget hands out at most: a full batch of a worker.
pub const QUANTUM: i64 = DEFAULT_LEASED_REFS;
/// Budgets that a claim looks at: each costs some index entries, whether its turn comes or not.
const MAX_BUDGETS: i64 = 20;
/// How long a claim waits for a budget that other transactions hold one after the other.
const LOCK_WAIT: &str = "300ms";
/// Budgets of which a claim reads first what is due: mostly they fill it.
const FIRST_BUDGETS: usize = 5;

/// The result of a claim.
pub(crate) struct Claim {
    /// `None` when nothing is ready.
    pub(crate) leased: Option<LeaseRows>,
    /// Whether to wake the renewer now.
    pub(crate) held: bool,
}

impl Store {
    /// Leases what is ready. A request that leased before gets the leases that it still holds, with
    /// what is due of them now, and no other. An expired token is not leased, but renewed first, if
    /// it is of one of the `renewable` providers. Budgets that another transaction holds are
    /// skipped, but for `contended`, which is waited for shortly: one that very many accounts spend
    /// is hardly ever free.
    pub(crate) async fn claim_leases(
        &self,
        _access: &CredentialAccess,
        request: &LeaseRequest,
        duration: Duration,
        contended: Option<Uuid>,
        renewable: &[String],
    ) -> Result<Claim, StoreError> {
        let claimed = self.transaction(|tx| claim(tx, request, duration, contended));
        let (leased, idle) = match claimed.await {
            // One transaction holds it: the next attempt skips it.
            Err(StoreError::Locked { .. }) if contended.is_some() => (None, Idle::default()),
            claimed => claimed?,
        };
        let mut held = false;
        if !idle.is_empty() {
            let settled = self.transaction(|tx| settle_idle(tx, &idle, renewable));
            match settled.await {
                // The next claim settles them.
                Err(error) if leased.is_some() => {
                    tracing::warn!(%error, "accounts without due refs were not settled");
                }
                settled => {
                    settled?;
                    held = !idle.expired.is_empty();
                }
            }
        }
        Ok(Claim { leased, held })
    }

    /// The budget that can be leased next, and in how long. `None` when nothing is planned.
    pub(crate) async fn next_budget(&self) -> Result<Option<(Uuid, Duration)>, StoreError> {
        let rows = self.read(FIND_NEXT_BUDGET, &[]).await?;
        let next = |row: &Row| Ok((row.get_as("id")?, row.get_as("seconds")?));
        rows.first().map(next).transpose()
    }

    /// Extends a lease to `duration` from now. `None` when it is lost.
    pub(crate) async fn renew_lease(
        &self,
        token: LeaseToken,
        duration: Duration,
    ) -> Result<Option<Renewal>, StoreError> {
        let seconds = duration.as_secs_f64();
        let rows = self.write(RENEW_LEASE, &[&token.0, &seconds]).await?;
        let awaited = first(&rows, "awaited")?;
        Ok(awaited.map(|awaited| Renewal {
            expires_in: duration,
            awaited,
        }))
    }

    /// Releases a lease. Returns whether to notify waiting lease calls of its budget.
    pub(crate) async fn release_lease(&self, token: LeaseToken) -> Result<bool, StoreError> {
        self.transaction(async |tx: Tx| {
            let rows = tx.query(LOCK_LEASE, &[&token.0, &true]).await?;
            let budgets: Vec<Uuid> = column(&rows, "id")?;
            if budgets.is_empty() {
                return Ok(false);
            }
            let [settled] = tx
                .commit_after([bind(SETTLE_BUDGETS, &[&budgets, &true, &NONE])])
                .await?;
            is_due(&settled)
        })
        .await
    }
}

/// Leases what is ready, and returns beside it what was, and of which nothing is due.
async fn claim(
    tx: Tx,
    request: &LeaseRequest,
    duration: Duration,
    contended: Option<Uuid>,
) -> Result<(Option<LeaseRows>, Idle), StoreError> {
    let id = request.request.0;
    let quantum = QUANTUM.min(request.max_refs);
    let contended: Vec<Uuid> = contended.into_iter().collect();
    let waits = !contended.is_empty();
    let [_, before, _, _, ready] = tx
        .pipeline([
            bind(LOCK_REQUEST, &[&id]),
            bind(FIND_SYNC_REQUEST, &[&id]),
            bind(BOUND_LOCK_WAIT, &[&LOCK_WAIT]).only_if(waits),
            bind(LOCK_BUDGETS, &[&contended, &NONE]).only_if(waits),
            bind(LOCK_READY_BUDGETS, &[&MAX_BUDGETS, &quantum, &id]),
        ])
        .await?;
    if let Some(row) = before.first() {
        let leased: Option<Vec<Uuid>> = row.get_as("budget_ids")?;
        let leased = leased.ok_or(StoreError::OtherKind)?;
        let again = claim_again(tx, request, quantum, &leased).await?;
        return Ok((Some(again), Idle::default()));
    }
    let turns = Turns::ready(&ready)?;
    if ready.is_empty() {
        return Ok((None, Idle::default()));
    }
    let mut choice = turns.due(&tx, request.max_refs).await?;
    let filled = choice.len() >= request.max_refs;
    let idle = turns.idle(&choice, filled);
    if choice.len() == 0 {
        return Ok((None, idle));
    }
    if !filled && !turns.more {
        turns.add_early(&tx, &mut choice, request.max_refs).await?;
    }
    let counts = turns.counts(&choice);
    let (claimed, counts): (Vec<Uuid>, Vec<i32>) = counts.filter(|(_, count)| *count > 0).unzip();
    let seconds = duration.as_secs_f64();
    let answer: Option<String> = None;
    let [_, _, budgets, refs, credentials] = tx
        .commit_after([
            bind(
                CLAIM_BUDGETS,
                &[&claimed, &counts, &id, &request.worker, &seconds],
            ),
            bind(INSERT_SYNC_REQUEST, &[&id, &claimed, &answer]),
            bind(LIST_LEASED_BUDGETS, &[&id, &quantum, &claimed]),
            bind(LIST_LEASED_REFS, &[&choice.refs]),
            // Before the commit: a lease whose credentials cannot be read is no lease.
            bind(READ_CREDENTIALS, &[&id, &choice.accounts]),
        ])
        .await?;
    let mut handed_out = LeaseRows::read(&budgets, &refs, &credentials)?;
    let expired: HashSet<&Uuid> = turns.expired.iter().collect();
    let expired = claimed.iter().filter(|budget| expired.contains(budget));
    handed_out.expired = expired.count() as u64;
    Ok((Some(handed_out), idle))
}

/// Hands out again what a request still leases of the budgets `leased`, with what is due of it now.
async fn claim_again(
    tx: Tx,
    request: &LeaseRequest,
    quantum: i64,
    leased: &[Uuid],
) -> Result<LeaseRows, StoreError> {
    let id = request.request.0;
    let [_, budgets] = tx
        .pipeline([
            bind(LOCK_BUDGETS, &[&leased, &NONE]),
            bind(LIST_LEASED_BUDGETS, &[&id, &quantum, &leased]),
        ])
        .await?;
    let turns = Turns {
        waiting: budgets.iter().map(Turn::read).collect::<Result<_, _>>()?,
        ..Turns::default()
    };
    let choice = turns.due(&tx, request.max_refs).await?;
    let (ids, counts): (Vec<Uuid>, Vec<i32>) = turns.counts(&choice).unzip();
    let [_, refs, credentials] = tx
        .commit_after([
            bind(RECLAIM_BUDGETS, &[&ids, &counts, &id]),
            bind(LIST_LEASED_REFS, &[&choice.refs]),
            bind(READ_CREDENTIALS, &[&id, &choice.accounts]),
        ])
        .await?;
    LeaseRows::read(&budgets, &refs, &credentials)
}

/// Budgets that were ready without a due ref (a ref leaves without updating its account), or of
/// which nothing can be leased yet.
#[derive(Default)]
struct Idle {
    accounts: Vec<Uuid>,
    budgets: Vec<Uuid>,
    /// Accounts whose tokens must be renewed first.
    expired: Vec<Uuid>,
}

impl Idle {
    fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.budgets.is_empty() && self.expired.is_empty()
    }
}

/// Has accounts and budgets know that nothing is due of them, or not yet.
async fn settle_idle(tx: Tx, idle: &Idle, renewable: &[String]) -> Result<(), StoreError> {
    let Idle {
        accounts,
        budgets,
        expired,
    } = idle;
    let all = [accounts.as_slice(), expired].concat();
    tx.commit_after([
        bind(LOCK_ACCOUNTS, &[&all]),
        bind(HOLD_ACCOUNTS, &[expired, &renewable]).only_if(!expired.is_empty()),
        bind(SETTLE_ACCOUNTS, &[&all]),
        bind(LOCK_BUDGETS, &[budgets, expired]),
        bind(SETTLE_BUDGETS, &[budgets, &false, expired]),
    ])
    .await?;
    Ok(())
}

/// A budget whose turn it is.
#[derive(Clone, Copy)]
struct Turn {
    budget: Uuid,
    /// How many refs it hands out at most.
    quantum: i64,
    /// The lane from which on none is.
    withheld_from: i16,
}

impl Turn {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            budget: row.get_as("id")?,
            quantum: row.get_as("quantum")?,
            withheld_from: row.get_as("withheld_from")?,
        })
    }
}

/// Budgets in the order of their turns.
#[derive(Default)]
struct Turns {
    waiting: Vec<Turn>,
    /// A person waits for these. What else is due of them comes last: they have had their share.
    awaited: Vec<Turn>,
    /// Budgets whose last lease ran out.
    expired: Vec<Uuid>,
    /// Other budgets may be ready, too.
    more: bool,
}

impl Turns {
    /// From the rows of `lock_ready_budgets`.
    fn ready(rows: &[Row]) -> Result<Self, StoreError> {
        let mut turns = Self::default();
        for row in rows {
            let turn = Turn::read(row)?;
            if row.get_as("awaited")? {
                turns.awaited.push(turn);
            } else {
                turns.waiting.push(turn);
            }
            if row.get_as("expired")? {
                turns.expired.push(turn.budget);
            }
        }
        let most = usize::try_from(MAX_BUDGETS).unwrap_or(usize::MAX);
        turns.more = rows.len() >= most || turns.awaited.len() >= most / 2;
        Ok(turns)
    }

    fn all(&self) -> impl Iterator<Item = &Turn> {
        self.waiting.iter().chain(&self.awaited)
    }

    /// The number of refs to hand out of each.
    fn counts(&self, choice: &Choice) -> impl Iterator<Item = (Uuid, i32)> {
        self.all().map(|turn| (turn.budget, choice.of(turn.budget)))
    }

    /// The due refs: those of the first budgets and those that a person waits for, and those of the
    /// others while the call is not full.
    async fn due(&self, tx: &Tx, max_refs: i64) -> Result<Choice, StoreError> {
        let mut choice = Choice::default();
        let first = self.waiting.len().min(FIRST_BUDGETS);
        let (first, others) = self.waiting.split_at(first);
        let first = [first, &self.awaited].concat();
        add(tx, &mut choice, LIST_DUE_REFS, &first, max_refs).await?;
        if choice.len() < max_refs && !others.is_empty() {
            add(tx, &mut choice, LIST_DUE_REFS, others, max_refs).await?;
        }
        Ok(choice)
    }

    /// Fills up what the due refs left free with those that are due soon.
    async fn add_early(
        &self,
        tx: &Tx,
        choice: &mut Choice,
        max_refs: i64,
    ) -> Result<(), StoreError> {
        let room = |turn: &Turn| Turn {
            quantum: match choice.of(turn.budget) {
                0 => 0,
                due => (turn.quantum - i64::from(due)).max(0),
            },
            ..*turn
        };
        let rooms: Vec<Turn> = self.all().map(room).collect();
        add(tx, choice, LIST_EARLY_REFS, &rooms, max_refs).await
    }

    /// The budgets that had their turn without a due ref. In a full call, the last ones had no
    /// turn.
    fn idle(&self, choice: &Choice, filled: bool) -> Idle {
        let is_claimed = |turn: &Turn| choice.of(turn.budget) > 0;
        let had_turn = if filled {
            self.waiting.iter().rposition(is_claimed).unwrap_or(0)
        } else {
            usize::MAX
        };
        let mut idle = Idle {
            expired: choice.expired_accounts.clone(),
            ..Idle::default()
        };
        for (place, turn) in self.all().enumerate() {
            if !is_claimed(turn) && place < had_turn {
                idle.budgets.push(turn.budget);
            }
            // What is due of an account may be withheld, which a claim of its budget's other refs
            // need not settle each time.
            if !is_claimed(turn) || turn.withheld_from > Lane::Idle.number() {
                let accounts = choice.idle_accounts.iter();
                let of_budget = accounts.filter(|(budget, _)| *budget == turn.budget);
                idle.accounts.extend(of_budget.map(|(_, account)| *account));
            }
        }
        idle
    }
}

/// Adds to a choice what a statement lists of budgets in turn, while the call is not full.
async fn add(
    tx: &Tx,
    choice: &mut Choice,
    statement: Sql,
    turns: &[Turn],
    max_refs: i64,
) -> Result<(), StoreError> {
    let budgets: Vec<Uuid> = turns.iter().map(|turn| turn.budget).collect();
    let quanta: Vec<i64> = turns.iter().map(|turn| turn.quantum).collect();
    let withheld_from: Vec<i16> = turns.iter().map(|turn| turn.withheld_from).collect();
    let left = max_refs - choice.len();
    let rows = tx
        .query(statement, &[&budgets, &quanta, &withheld_from, &left])
        .await?;
    choice.add(&rows)
}
